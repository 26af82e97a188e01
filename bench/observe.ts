// Runs one backup or dump of an unpacked package in this process and prints, as JSON, when each event came:
//   node bench/observe.ts PACKAGE backup URI REPOSITORY JOBS [selection flag...]
//   node bench/observe.ts PACKAGE dump URI FILE JOBS

import { homedir, userInfo } from "node:os";
import { join } from "node:path";

import type * as backupOperation from "../src/operations/backup/index.ts";
import type * as dumpOperation from "../src/operations/dump/index.ts";
import type { OperationContext, OperationEvent } from "../src/operations/operation.ts";

/** What is printed: the events without those of progress, and the end. */
export interface Observation {
  readonly events: readonly { readonly atMs: number; readonly event: OperationEvent }[];
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const [packageDirectory = "", verb, source = "", destination = "", jobs, ...selection] = process.argv.slice(2);
const events: { atMs: number; event: OperationEvent }[] = [];
const context: OperationContext = {
  signal: new AbortController().signal,
  environment: process.env,
  homeDirectory: homedir(),
  userName: userInfo().username,
  onEvent: (event) => {
    if (event.type !== "progress") events.push({ atMs: performance.now(), event });
  },
};
const load = async (name: string): Promise<unknown> => await import(join(packageDirectory, "dist/operations", name));
const common = { source, jobs: Number(jobs), compression: null, pgDump: null, selection };
const startedAtMs = performance.now();
if (verb === "dump") {
  const { runDump } = (await load("dump/index.js")) as typeof dumpOperation;
  await runDump(context, { ...common, file: destination, overwrite: true, archiveVersion: null });
} else {
  const repository = {
    location: destination,
    givenPassphrase: process.env.CAIRN_PASSPHRASE ?? null,
    askPassphrase: () => Promise.reject(new Error("nobody is there")),
  };
  const { runBackup } = (await load("backup/index.js")) as typeof backupOperation;
  await runBackup(context, { ...common, repository, lineage: null, tags: {} });
}
const observation: Observation = { events, startedAtMs, endedAtMs: performance.now() };
console.log(JSON.stringify(observation));
