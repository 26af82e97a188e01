// Runs one backup or dump in this process and prints, as JSON, when each of its events came. Started by the benchmark:
//   node bench/observe.ts backup URI REPOSITORY JOBS [selection flag...]      node bench/observe.ts dump URI FILE JOBS

import { homedir, userInfo } from "node:os";

import { runBackup } from "../src/operations/backup/index.ts";
import { runDump } from "../src/operations/dump/index.ts";
import type { OperationContext, OperationEvent } from "../src/operations/operation.ts";

/** What is printed: the events without those of progress, and the end. */
export interface Observation {
  readonly events: readonly { readonly atMs: number; readonly event: OperationEvent }[];
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const [verb, source = "", destination = "", jobs, ...selection] = process.argv.slice(2);
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
const common = { source, jobs: Number(jobs), compression: null, pgDump: null, selection };
const startedAtMs = performance.now();
if (verb === "dump") {
  await runDump(context, { ...common, file: destination, overwrite: true, archiveVersion: null });
} else {
  const repository = {
    location: destination,
    givenPassphrase: process.env.CAIRN_PASSPHRASE ?? null,
    askPassphrase: () => Promise.reject(new Error("nobody is there")),
  };
  await runBackup(context, { ...common, repository, lineage: null, tags: {} });
}
const observation: Observation = { events, startedAtMs, endedAtMs: performance.now() };
console.log(JSON.stringify(observation));
