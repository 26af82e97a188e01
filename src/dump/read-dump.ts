// Reads the data of an open dump into a sink: by reader threads, and on the holder what a reader could not lock.

import { availableParallelism } from "node:os";

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { serializeConnectionSettings } from "../postgres/index.ts";
import { KnownIds, makeChunk } from "./chunk-maker.ts";
import type { DataSink, ReadChunk } from "./data-sink.ts";
import type { Dump } from "./open-dump.ts";
import { explainRecoveryConflict, isTooLarge, nameLargeRow, ReadFailure } from "./read-failure.ts";
import type { ChunkOptions } from "./reader-messages.ts";
import { runReaders } from "./reader-pool.ts";
import type { TablePlan } from "./segment-plan.ts";
import { listTasks, type PlannedTask } from "./task-list.ts";
import { TextCutter } from "./text-cutter.ts";

/** Readers that one dump may use. */
export const JOBS_MAX = 64;

export interface ReadDumpOptions {
  readonly jobs: number;
  readonly chunks: ChunkOptions;
  readonly sink: DataSink;
  readonly signal: AbortSignal;
  /** The order of reading; the dump's own order when left out. */
  readonly tables?: readonly TablePlan[];
  /** False: large objects are left alone. */
  readonly readsLargeObjects?: boolean;
  /** A segment was taken over by the sink. */
  onTakenOver?(table: TablePlan): void;
  /** A bucket of large objects was. */
  onLargeObjectsTakenOver?(): void;
  onTaskStarted?(task: PlannedTask, readerIndex: number): void;
  onTaskDone?(task: PlannedTask, readerIndex: number): void;
  /** All of it is with the sink; names are looked at again next. */
  onRead?(): void;
}

/** As many readers as there are processors, within reason. */
export function defaultJobs(): number {
  return Math.max(1, Math.min(4, availableParallelism()));
}

/**
 * Reads everything; settles when all of it is with the sink. The loss of the holder ends it at once. Throws
 * "source_unstable" when names that were read by came to stand for other tables.
 */
export async function readDump(dump: Dump, options: ReadDumpOptions): Promise<void> {
  const tables = options.tables ?? dump.tables;
  const buckets = options.readsLargeObjects === false ? [] : dump.largeObjectBuckets;
  const taskCount = tables.reduce((sum, table) => sum + table.segments.length, buckets.length);
  if (taskCount === 0) return;
  const signal = AbortSignal.any([options.signal, dump.holderLost]);
  const running = runReaders({
    threads: {
      // As the holder's: its very server, and the bytes as they are stored unless pg_dump sets another encoding.
      settings: serializeConnectionSettings(dump.holder.settings),
      setupStatements: dump.readerSetup(),
      chunks: options.chunks,
    },
    jobs: Math.max(1, Math.min(options.jobs, JOBS_MAX, taskCount)),
    sink: options.sink,
    signal,
    tasks: (ended) => listTasks({ ...options, tables, buckets }, ended),
    readOnHolder: (task) => readOnHolder(dump, task, options),
    ...(options.onTaskStarted === undefined ? {} : { onTaskStarted: options.onTaskStarted.bind(options) }),
    ...(options.onTaskDone === undefined ? {} : { onTaskDone: options.onTaskDone.bind(options) }),
  });
  await running.catch(async (error: unknown) => {
    if (!isTooLarge(error)) throw explainRecoveryConflict(error, dump.snapshot.isStandby);
    if (dump.holderIsBusy) throw await nameLargeRow(null, error, signal);
    await dump.useHolder(async (holder) => {
      throw await nameLargeRow(holder, error, signal);
    });
  });
  options.onRead?.();
  await dump.checkNames(signal);
}

/** The holder has pg_dump's lock on the table already, so nobody's queued lock stands in its way. */
async function readOnHolder(dump: Dump, task: PlannedTask, options: ReadDumpOptions): Promise<void> {
  assert(task.kind === "table", "only tables are locked");
  const known = new KnownIds(task.knownIds);
  const ready: ReadChunk[] = [];
  let rowCount = 0;
  const cutter = new TextCutter(options.chunks.chunkSizeBytes, (text, rows, continues) => {
    rowCount += rows;
    ready.push(makeChunk({ kind: "table", text, rowCount: rows, continues }, options.chunks, known));
  });
  const deliver = async (): Promise<void> => {
    for (const chunk of ready.splice(0)) await options.sink.tableChunk(task.table, task.segmentIndex, chunk);
  };
  const { statement } = task.table.segments[task.segmentIndex]!;
  await dump.useHolder(async (holder) => {
    const stream = holder.copyOut(Buffer.from(statement, "latin1"), { signal: options.signal });
    try {
      for await (const bytes of stream) {
        cutter.push(bytes);
        await deliver();
      }
    } catch (error) {
      throw error instanceof OperatingError ? new ReadFailure(error, task) : error;
    }
    cutter.finish();
    await deliver();
    const counted = stream.rowCount;
    if (counted !== rowCount) {
      const error = new OperatingError("internal", `the server counted ${counted} rows, ${rowCount} were received`);
      throw new ReadFailure(error, task);
    }
  });
  await options.sink.segmentDone(task.table, task.segmentIndex, rowCount);
}
