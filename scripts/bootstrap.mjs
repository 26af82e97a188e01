// What the npm scripts start: installs the dependencies when the lock file changed, then runs the script that the first
// argument names under the Node that came with them. Runs under any Node from 20 on, without dependencies.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const needed = [24, 11];
const configurationStatus = 78; // EX_CONFIG of sysexits.h
const usageStatus = 64;

const scripts = {
  start: { file: "scripts/start.ts" },
  ok: { file: "scripts/test.ts", args: ["ok"] },
  test: { file: "scripts/test.ts", args: ["all"] },
  matrix: { file: "scripts/test.ts", args: ["all"], env: { CAIRN_TEST_MATRIX: "full" } },
  storages: { file: "scripts/test.ts", args: ["all", "tests/storage"], env: { CAIRN_TEST_STORAGES: "full" } },
  incremental: { file: "scripts/test.ts", args: ["all", "tests/incremental"], env: { CAIRN_TEST_INCREMENTAL: "full" } },
  bench: { file: "bench/run.ts" },
};

const root = fileURLToPath(new URL("../", import.meta.url));
const modules = join(root, "node_modules");
const script = scripts[process.argv[2]];
if (script === undefined) {
  console.error(`usage: node scripts/bootstrap.mjs ${Object.keys(scripts).join("|")} [argument...]`);
  process.exit(usageStatus);
}

install();
run(findNode(), [join(root, script.file), ...(script.args ?? []), ...process.argv.slice(3)], script.env ?? {});

function install() {
  const stamp = join(modules, ".cairn-lock-sha256");
  const digest = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  console.error("installing the dependencies (npm ci) …");
  // npm names itself to the scripts it runs; started by hand, it is on the PATH.
  const npm = process.env.npm_execpath;
  const [command, ...first] = npm?.endsWith("npm-cli.js") ? [process.execPath, npm] : ["npm"];
  const args = [...first, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (result.error !== undefined || result.status !== 0) {
    console.error(`npm ci failed${result.error ? `: ${result.error.message}` : ""}`);
    process.exit(result.status || 1);
  }
  writeFileSync(stamp, digest);
}

function findNode() {
  const installed = join(modules, `node-${process.platform}-${process.arch}`, "bin", "node");
  if (existsSync(installed)) return installed;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > needed[0] || (major === needed[0] && minor >= needed[1])) return process.execPath;
  console.error(`needs Node.js >= ${needed.join(".")} (found v${process.versions.node})`);
  console.error(`HINT:  npm has no newer one for ${process.platform} on ${process.arch}; install it and try again.`);
  process.exit(configurationStatus);
}

function run(node, args, environment) {
  const path = [join(modules, ".bin"), process.env.PATH].join(delimiter);
  const child = spawn(node, args, { stdio: "inherit", env: { ...process.env, ...environment, PATH: path } });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group: the child has it already.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`could not start "${node}": ${error.message}`);
    process.exit(configurationStatus);
  });
  child.on("exit", (status, signal) => process.exit(status ?? 128 + constants.signals[signal]));
}
