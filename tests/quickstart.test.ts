// `npm start` as a stranger runs it, after the installation: every step right, nothing left behind, also when it is
// interrupted or cannot begin.

import { spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const script = fileURLToPath(new URL("../scripts/start.ts", import.meta.url));

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-tour-"));
  await chmod(folder, 0o711); // the server may run as another user
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function startTour(temporaryFolder = folder) {
  // Settings of the user's own must not lead the tour to a database or repository of theirs.
  const theirs = { PGHOST: "/nowhere", PGDATABASE: "theirs", CAIRN_REPOSITORY: "/nowhere", CAIRN_PASSPHRASE: "theirs" };
  const env = { ...process.env, ...theirs, TMPDIR: temporaryFolder };
  const child = spawn(process.execPath, [script], { env, stdio: ["ignore", "pipe", "pipe"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { child, exited };
}

test("npm start shows the whole tour, each step right, and leaves nothing behind", async () => {
  const { child, exited } = startTour();
  const [status, output, errors] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  expect(status, errors).toBe(0);
  expect(output.match(/^\$ cairn \w+/gm)).toEqual([
    "$ cairn init",
    "$ cairn doctor",
    "$ cairn backup",
    "$ cairn backup",
    "$ cairn list",
    "$ cairn restore",
    "$ cairn restore",
    "$ cairn export",
    "$ cairn verify",
    "$ cairn verify",
  ]);
  expect(output.match(/^Equal\.$/gm)).toHaveLength(2);
  expect(output).toContain("All of it was as it should be");
  expect(await readdir(folder)).toEqual([]);
});

test.each([
  ["SIGINT", 130, "$ cairn backup"],
  ["SIGTERM", 143, "1. A database to protect"],
] as const)("npm start clears everything away when %s comes: exit status %i", async (signalName, status, moment) => {
  const { child, exited } = startTour();
  let output = "";
  await new Promise<void>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      output += part;
      if (output.includes(moment)) resolve();
    });
    child.once("exit", () => resolve());
  });
  const errors = text(child.stderr);
  child.kill(signalName);
  expect(await exited, output).toBe(status);
  expect(await errors).toContain("interrupted");
  expect(await readdir(folder)).toEqual([]);
});

test("npm start that cannot begin says why: exit status 1", async () => {
  const { child, exited } = startTour(join(folder, "missing"));
  const [status, errors] = await Promise.all([exited, text(child.stderr)]);
  expect(status).toBe(1);
  expect(errors).toContain("npm start failed: ");
});
