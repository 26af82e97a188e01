// The dump room: a source's contents by pg_dump, and its data by readers of our own, in one snapshot.

export { availablePgDumps, type PgDumpRequest } from "./available-pg-dumps.ts";
export { choosePgDump, type AvailablePgDump, type PgDumpChoice } from "./choose-pg-dump.ts";
export { parseCopyStatement } from "./copy-statement.ts";
export type {
  ChunkHashing,
  DataSink,
  LargeObjectBucket,
  LargeObjectChunk,
  OfferedChunk,
  ReadChunk,
} from "./data-sink.ts";
export { expandFilterFiles } from "./filter-flags.ts";
export { Dump, openDump, READER_VERSION, type OpenDumpOptions } from "./open-dump.ts";
export { defaultJobs, readDump, type ReadDumpOptions } from "./read-dump.ts";
export type { ChunkCompression, ChunkOptions } from "./reader-messages.ts";
export { biggestFirst, type RelationFacts, type TablePlan } from "./segment-plan.ts";
export {
  checkFlagsKnown,
  parseSelectionFlags,
  toArguments,
  type SelectionFlag,
  type SelectionSummary,
} from "./selection-flags.ts";
export { checkSameServer, readDatabaseIdentity, type SnapshotFacts } from "./snapshot-facts.ts";
export type { PlannedTask } from "./task-list.ts";
export {
  checkEntries,
  entryOidsOf,
  patternToRegexes,
  poolerConsole,
  runPreflight,
  type EntryOids,
  type Finding,
  type PreflightOptions,
} from "./preflight/index.ts";
