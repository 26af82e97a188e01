#!/usr/bin/env node
// Starts Cairn under any Node from 20 on: in place of this process when it is new enough, else in the Node that npm
// installed as an optional dependency (node-<platform>-<architecture>) or that CAIRN_NODE names. Either way Node is told
// to keep its heap small, which it takes only at its start. Plain JavaScript: old Nodes read it.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const needed = [24, 11];
const configurationStatus = 78; // EX_CONFIG of sysexits.h
// Compression and hashing run in libuv's pool; its size is read once, at start.
process.env.UV_THREADPOOL_SIZE ??= "8";
// Else each thread gets a pool of its own from glibc, which keeps what was freed: some 25 MB with 10,000 tables, in the same time.
process.env.MALLOC_ARENA_MAX ??= "2";

// Without these, 10,000 tables and four readers take 460 MB instead of 310, in the same time.
// No marking in small steps: chunks lie outside of the heap, and each few of them would begin one.
const heapFlags = [
  "--max-semi-space-size=4",
  "--heap-growing-percent=30",
  // Of the first thread; it would else be gathered five times while the catalog of 10,000 tables comes in.
  "--initial-old-space-size=96",
  "--no-incremental-marking",
  // A compiling thread that needs memory waits for the main one; when that one is ending, both wait for ever.
  "--no-concurrent-sparkplug",
  // This compiler's thread is said to end the process with SIGSEGV, rarely, where processors are scarce: nodejs/node#64841.
  "--no-maglev",
];

const built = new URL("../dist/cli/main.js", import.meta.url);
const source = new URL("../src/cli/main.ts", import.meta.url);
const entry = existsSync(source) ? source : built;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > needed[0] || (major === needed[0] && minor >= needed[1])) {
  await runHere();
} else {
  runUnder(otherNode());
}

async function runHere() {
  const isTold = heapFlags.every((flag) => process.execArgv.includes(flag));
  if (!isTold && process.platform !== "win32" && typeof process.execve === "function") {
    const words = [...process.execArgv, ...heapFlags, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
    process.execve(process.execPath, [process.execPath, ...words], process.env);
  }
  await import(entry.href);
}

function otherNode() {
  if (process.env.CAIRN_NODE) return process.env.CAIRN_NODE;
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return fileURLToPath(new URL("bin/node", `file://${manifest}`));
  } catch {
    return undefined;
  }
}

function runUnder(node) {
  if (node === undefined) {
    console.error(`cairn: needs Node.js >= ${needed.join(".")} (found v${process.versions.node})`);
    console.error('HINT:  Install a newer Node.js, or name one in the environment variable "CAIRN_NODE".');
    process.exit(configurationStatus);
  }
  const child = spawn(node, [...heapFlags, fileURLToPath(entry), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group: the child has it already, and a second one would mean "at once".
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`cairn: could not start "${node}": ${error.message}`);
    process.exit(configurationStatus);
  });
  child.on("exit", (status, signal) => {
    process.exitCode = status ?? 128 + constants.signals[signal];
  });
}
