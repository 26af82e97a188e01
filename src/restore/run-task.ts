// One entry on one connection: its statements, then its data. Errors are collected; only what makes the connection
// useless, or cancellation, is thrown. Source: pg_backup_archiver.c (18), restore_toc_entry.

import type { ArchiveContents } from "../archive/index.ts";
import { isOperatingError } from "../base/errors.ts";
import { attemptRecorded, problemError } from "./recorded-statements.ts";
import type { RestoreRecord } from "./restore-record.ts";
import { loadLargeObjects } from "./load-large-objects.ts";
import { loadStatements } from "./load-statements.ts";
import { TableLoad } from "./load-table.ts";
import type { RestorePlan, RestoreTask } from "./plan.ts";
import { entryError, type EntryError, type TableRows } from "./result.ts";
import { leavesUserUnknown } from "./statements.ts";
import type { RestoreWorker } from "./worker.ts";

/** What the run offers to its tasks. */
export interface TaskContext {
  readonly plan: RestorePlan;
  readonly contents: ArchiveContents;
  /** A transaction is open around everything. */
  readonly isInTransaction: boolean;
  readonly isParallel: boolean;
  readonly walLevelIsMinimal: boolean;
  /** True when this run created the table of a TABLE DATA entry (its dump id). */
  readonly wasCreated: (dataDumpId: number) => boolean;
  /** Makes a load known to connections that have nothing to do, and takes it back. */
  readonly offerLoad: (load: TableLoad) => void;
  readonly withdrawLoad: (load: TableLoad) => void;
  /** Where what is done is written down; null: nowhere. */
  readonly record: RestoreRecord | null;
  readonly onWork: () => void;
  readonly onData: (task: RestoreTask, worker: RestoreWorker, sizeBytes: number) => void;
}

/** What became of a task. */
export interface TaskOutcomeReport {
  /** Empty: done. */
  readonly errors: readonly EntryError[];
  /** The definition was accepted, whatever became of the owner. */
  readonly isCreated: boolean;
  readonly rows: TableRows | null;
  readonly largeObjectCount: number;
}

/** Does what a task says. */
export async function runTask(
  worker: RestoreWorker,
  task: RestoreTask,
  context: TaskContext,
): Promise<TaskOutcomeReport> {
  const errors: EntryError[] = [];
  const problem = task.problem === null ? null : problemError(task.problem);
  let isCreated = false;
  if (task.statements.length > 0 || problem !== null) {
    await worker.apply(task.settings, errors);
    await runStatements(worker, task, context, { problem, errors });
    isCreated = task.statements.length > 0 && errors.every((error) => error.during !== "definition");
    if (leavesUserUnknown(task.entry)) worker.forgetUser();
  }
  if (problem !== null) errors.push(problem);
  let rows: TableRows | null = null;
  let largeObjectCount = 0;
  if (task.load?.kind === "large-objects") {
    await worker.apply(task.settings, errors);
    largeObjectCount = (await attemptData(worker, context, errors, () => largeObjects(worker, task, context))) ?? 0;
  } else if (task.load !== null) {
    rows = await loadRows(worker, task, context, errors);
  }
  const isFailedLoad = task.load !== null && errors.length > 0;
  if (context.record !== null && isFailedLoad)
    await worker.run(context.record.failedStatement(task.entry.dumpId, errors));
  return { errors, isCreated, rows, largeObjectCount };
}

async function runStatements(
  worker: RestoreWorker,
  { entry, statements }: RestoreTask,
  { record }: TaskContext,
  { problem, errors }: { readonly problem: EntryError | null; readonly errors: EntryError[] },
): Promise<void> {
  if (record !== null) {
    await attemptRecorded(worker, record, { dumpId: entry.dumpId, statements, problem }, errors);
    return;
  }
  const mayBatch = entry.description === "BLOB METADATA" || entry.tag.startsWith("LARGE OBJECTS");
  await worker.attemptAll(statements, mayBatch, errors);
}

async function largeObjects(worker: RestoreWorker, task: RestoreTask, context: TaskContext): Promise<number> {
  const { isInTransaction, record } = context;
  let sizeBytes = 0;
  if (!isInTransaction) await worker.run("BEGIN;");
  const count = await loadLargeObjects(worker, task.entry, context.contents, (bytes) => {
    sizeBytes += bytes;
    context.onData(task, worker, bytes);
  });
  if (record !== null) await worker.run(record.doneStatement(task.entry.dumpId, { rows: count, sizeBytes }));
  if (!isInTransaction) await worker.run("COMMIT;");
  return count;
}

async function loadRows(
  worker: RestoreWorker,
  task: RestoreTask,
  context: TaskContext,
  errors: EntryError[],
): Promise<TableRows | null> {
  const { load } = task;
  if (load === null || load.kind === "large-objects") return null;
  if (task.disablesTriggers) {
    await worker.apply(task.settings, errors);
    await setTriggers(worker, `${load.table} DISABLE`, context, errors);
  }
  const rows =
    load.kind === "copy"
      ? await copyRows(worker, new TableLoad(task, load, context.contents, loadOptions(task, context)), context, errors)
      : await insertRows(worker, task, context, errors);
  if (task.disablesTriggers) await setTriggers(worker, `${load.table} ENABLE`, context, errors);
  return rows;
}

async function copyRows(
  worker: RestoreWorker,
  load: TableLoad,
  context: TaskContext,
  errors: EntryError[],
): Promise<TableRows | null> {
  // Offered before anything is waited for: a connection that is free at the same moment sees it.
  context.offerLoad(load);
  try {
    await worker.apply(load.task.settings, errors);
    return await attemptData(worker, context, errors, () => load.run(worker));
  } catch (error) {
    await load.abandon(error);
    throw error;
  } finally {
    context.withdrawLoad(load);
  }
}

async function insertRows(
  worker: RestoreWorker,
  task: RestoreTask,
  context: TaskContext,
  errors: EntryError[],
): Promise<TableRows | null> {
  await worker.apply(task.settings, errors);
  return await attemptData(worker, context, errors, () => statementRows(worker, task, context));
}

function loadOptions(task: RestoreTask, context: TaskContext): ConstructorParameters<typeof TableLoad>[3] {
  const { load } = task;
  const isNew =
    load?.kind === "copy" && load.isOwn && !context.isInTransaction && context.wasCreated(task.entry.dumpId);
  const mayBeShared = isNew && load.isDominant && context.isParallel && !context.walLevelIsMinimal;
  return {
    isInTransaction: context.isInTransaction,
    freezes: isNew && !mayBeShared,
    mayBeShared,
    recordStatement: (data) => context.record?.doneStatement(task.entry.dumpId, data) ?? "",
    onData: (worker, sizeBytes) => context.onData(task, worker, sizeBytes),
    onWork: context.onWork,
  };
}

async function statementRows(worker: RestoreWorker, task: RestoreTask, context: TaskContext): Promise<TableRows> {
  const { entry } = task;
  let sizeBytes = 0;
  if (!context.isInTransaction) await worker.run("BEGIN;");
  const rows = await loadStatements(worker, entry, context.contents, {
    standardStrings: context.plan.standardStrings,
    onData: (bytes) => {
      sizeBytes += bytes;
      context.onData(task, worker, bytes);
    },
  });
  if (context.record !== null) await worker.run(context.record.doneStatement(entry.dumpId, { rows, sizeBytes }));
  if (!context.isInTransaction) await worker.run("COMMIT;");
  const { dumpId, namespace, tag: table } = entry;
  return { dumpId, namespace, table, rows, sizeBytes, expectedRows: null, connectionCount: 1 };
}

/** Runs a load; its failure is added to `errors`, and its transaction ended. */
async function attemptData<T>(
  worker: RestoreWorker,
  context: TaskContext,
  errors: EntryError[],
  load: () => Promise<T>,
): Promise<T | null> {
  try {
    return await load();
  } catch (error) {
    const isOver = worker.signal.aborted || !worker.session.isConnected || !isOperatingError(error);
    if (isOver) throw error;
    errors.push(entryError(error, "data"));
    if (!context.isInTransaction && worker.session.transactionStatus !== "idle") await worker.run("ROLLBACK;");
    return null;
  }
}

async function setTriggers(
  worker: RestoreWorker,
  change: string,
  context: TaskContext,
  errors: EntryError[],
): Promise<void> {
  await worker.becomeUser(context.plan.options.superuser ?? "");
  await worker.attempt(`ALTER TABLE ${change} TRIGGER ALL;`, "triggers", errors);
}
