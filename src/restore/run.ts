// Runs a plan against a target: drops, definitions, data and indexes over several connections, privileges, refreshes.
// Goes on after errors of entries and reports them all, unless the first one is to end the run. A restore is done only
// when every statement succeeded and all rows are there.

import type { ArchiveContents } from "../archive/index.ts";
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import type { TableLoad } from "./load-table.ts";
import type { RestorePlan, RestoreTask } from "./plan.ts";
import type { RestoreRecord } from "./restore-record.ts";
import {
  entryFailure,
  type EntryError,
  type EntryFailure,
  type RestoreEvent,
  type RestoreResult,
  type TableRows,
} from "./result.ts";
import { runTask, type TaskContext } from "./run-task.ts";
import { Schedule, type SchedulableTask } from "./scheduler.ts";
import { openTargetSession, type ConnectTarget } from "./session.ts";
import { stopsAtFirstError } from "./options.ts";
import { TransactionBatches } from "./transaction-batches.ts";
import { RestoreWorker } from "./worker.ts";

/** What a run needs besides contents and plan. */
export interface RunOptions {
  readonly connect: ConnectTarget;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: RestoreEvent) => void) | undefined;
  /** Gather the planner's statistics of the whole database at the end. */
  readonly analyze?: boolean;
  /** Where what is done is written down, and what an earlier run has done. */
  readonly record?: RestoreRecord | undefined;
}

/**
 * Restores. Errors of entries are in the result; thrown are only a lost connection, a refused login or session setting
 * (OperatingError), and the signal's reason.
 */
export async function runRestore(
  contents: ArchiveContents,
  plan: RestorePlan,
  options: RunOptions,
): Promise<RestoreResult> {
  const run = new RestoreRun(contents, plan, options);
  return await run.run();
}

/** Thrown inside a run to end it at an error. */
class EndOfRun extends Error {}

/** Why the loads of other connections fail then. */
class StoppedLoad extends EndOfRun {}

interface PlannedTask extends SchedulableTask {
  readonly task: RestoreTask;
}

class RestoreRun {
  readonly #contents: ArchiveContents;
  readonly #plan: RestorePlan;
  readonly #options: RunOptions;
  readonly #abort = new AbortController();
  readonly #workers: RestoreWorker[] = [];
  readonly #failures: EntryFailure[] = [];
  readonly #rows: TableRows[] = [];
  readonly #warnings: string[] = [];
  readonly #tried = new Set<number>();
  readonly #createdTables = new Set<number>();
  readonly #inhibited = new Set<number>();
  /** By dump id of the task. */
  readonly #loads = new Map<number, TableLoad>();
  readonly #batches: TransactionBatches;
  #walLevelIsMinimal = false;
  #doneCount = 0;
  #largeObjectCount = 0;
  #isStopped = false;
  #changed = Promise.withResolvers<void>();

  constructor(contents: ArchiveContents, plan: RestorePlan, options: RunOptions) {
    this.#contents = contents;
    this.#plan = plan;
    this.#options = options;
    this.#batches = new TransactionBatches(plan.options);
  }

  async run(): Promise<RestoreResult> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const forward = (): void => this.#abort.abort(signal?.reason);
    signal?.addEventListener("abort", forward, { once: true });
    try {
      let leader = await this.#connect(0, null);
      this.#walLevelIsMinimal = (await leader.session.query("SHOW wal_level;")).value === "minimal";
      try {
        await this.#batches.begin(leader);
        for (const statement of this.#plan.preparation) await leader.run(statement);
        await this.#drop(leader);
        leader = await this.#runSerial(leader);
        await this.#batches.end(leader);
        await this.#runParallel(leader);
        await this.#finish(leader);
      } catch (error) {
        if (!(error instanceof EndOfRun)) throw error;
      }
      return this.#result();
    } finally {
      signal?.removeEventListener("abort", forward);
      this.#abort.abort(new Error("the restore has ended"));
      await Promise.all(this.#workers.map((worker) => worker.session.close()));
    }
  }

  #emit(event: RestoreEvent): void {
    this.#options.onEvent?.(event);
  }

  async #connect(index: number, database: string | null): Promise<RestoreWorker> {
    const { signal } = this.#abort;
    const session = await openTargetSession(this.#plan, this.#options.connect, database, signal);
    const worker = new RestoreWorker(index, session, signal);
    this.#workers.push(worker);
    await this.#options.record?.watch(session);
    return worker;
  }

  async #drop(leader: RestoreWorker): Promise<void> {
    const { drops } = this.#plan;
    if (drops.length === 0) return;
    this.#emit({ kind: "phase", phase: "drop" });
    for (const { entry, settings, statements } of drops) {
      this.#emit({ kind: "drop", entry, statements });
      const errors: EntryError[] = [];
      await this.#batches.beforeDrop(leader, entry);
      await leader.apply(settings, errors);
      for (const sql of statements) await leader.attempt(sql, "drop", errors);
      this.#noteErrors(entryFailure(entry, errors));
      await this.#batches.afterDrop(leader, entry);
    }
    leader.forgetSchema();
  }

  async #runSerial(first: RestoreWorker): Promise<RestoreWorker> {
    let leader = first;
    if (this.#plan.serial.length > 0) this.#emit({ kind: "phase", phase: "definitions" });
    const context = this.#context(false);
    for (const task of this.#plan.serial) {
      if (this.#inhibited.has(task.entry.dumpId)) continue;
      if (task.reconnectTo !== null) await this.#batches.end(leader);
      await this.#runOne(leader, task, context);
      if (task.reconnectTo === null) {
        await this.#batches.afterTask(leader, task);
        continue;
      }
      await leader.session.close();
      leader = await this.#connect(0, this.#databaseName(task.reconnectTo));
      await this.#batches.begin(leader);
    }
    return leader;
  }

  /** The connection wants the name as text; an archive in another encoding than UTF-8 holds bytes. */
  #databaseName(name: string): string {
    return this.#plan.textEncoding === "utf8" ? name : Buffer.from(name, "latin1").toString("utf8");
  }

  async #runParallel(leader: RestoreWorker): Promise<void> {
    const { parallel, options } = this.#plan;
    const wantedCount = parallel.filter((task) => task.isWanted).length;
    if (wantedCount === 0) return;
    this.#emit({ kind: "phase", phase: "data and indexes" });
    const schedule = new Schedule(parallel.map(schedulable), options.jobs ?? 1);
    for (const id of this.#inhibited) schedule.inhibit(id);
    const loops = [this.#workerLoop(schedule, Promise.resolve(leader))];
    const hasData = parallel.some((task) => task.load?.kind === "copy");
    for (let index = 1; index < (options.jobs ?? 1); index += 1) {
      if (index < wantedCount || hasData) loops.push(this.#workerLoop(schedule, this.#helper(index, leader)));
    }
    const ends = await Promise.allSettled(loops.map((loop) => this.#guard(loop)));
    const failed = ends.find((end) => end.status === "rejected");
    if (failed !== undefined) throw this.#abort.signal.aborted ? this.#abort.signal.reason : failed.reason;
    if (this.#isStopped) throw new EndOfRun();
  }

  /** The end of one connection's loop by an error ends the others. */
  async #guard(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (error) {
      this.#abort.abort(error);
      this.#wake();
      throw error;
    }
  }

  async #helper(index: number, leader: RestoreWorker): Promise<RestoreWorker | null> {
    try {
      return await this.#connect(index, leader.session.settings.database);
    } catch (error) {
      if (this.#abort.signal.aborted) throw error;
      this.#warnings.push(`connection ${index + 1} could not be opened, going on with fewer: ${messageOf(error)}`);
      return null;
    }
  }

  async #workerLoop(schedule: Schedule<PlannedTask>, opening: Promise<RestoreWorker | null>): Promise<void> {
    const worker = await opening;
    if (worker === null) return;
    const context = this.#context(true);
    for (;;) {
      this.#abort.signal.throwIfAborted();
      // Taken before looking: a change in between is not missed.
      const changed = this.#changed.promise;
      const next = schedule.takeNext(this.#isStopped ? [] : [...this.#loads.values()]);
      if (next?.kind === "start") {
        await this.#runScheduled(worker, next.task.task, schedule, context);
        continue;
      }
      if (next?.kind === "join") {
        await this.#join(worker, next.dumpId);
        continue;
      }
      if (schedule.isFinished || schedule.runningCount === 0) return;
      await changed;
    }
  }

  async #join(worker: RestoreWorker, dumpId: number): Promise<void> {
    const load = this.#loads.get(dumpId);
    assert(load !== undefined, "only a load that was offered is joined");
    this.#emit({ kind: "worker joined", entry: load.task.entry, worker: worker.index });
    await worker.apply(load.task.settings, []);
    await load.join(worker);
    if (!worker.session.isConnected) await worker.run("SELECT 1;");
  }

  async #runScheduled(
    worker: RestoreWorker,
    task: RestoreTask,
    schedule: Schedule<PlannedTask>,
    context: TaskContext,
  ): Promise<void> {
    const { dumpId } = task.entry;
    try {
      const isDone = await this.#runOne(worker, task, context);
      for (const id of this.#inhibited) schedule.inhibit(id);
      schedule.finish(dumpId, isDone ? "done" : "failed");
    } catch (error) {
      if (!(error instanceof EndOfRun)) throw error;
      if (error instanceof StoppedLoad) this.#tried.delete(dumpId);
      schedule.finish(dumpId, "failed");
      schedule.stop();
      for (const load of this.#loads.values()) load.stop(new StoppedLoad());
    } finally {
      this.#wake();
    }
  }

  async #runOne(worker: RestoreWorker, task: RestoreTask, context: TaskContext): Promise<boolean> {
    const { entry } = task;
    this.#tried.add(entry.dumpId);
    this.#emit({ kind: "entry started", entry, worker: worker.index });
    const report = this.#options.record?.outcomeOf(task) ?? (await runTask(worker, task, context));
    const isDone = report.errors.length === 0;
    if (task.dataDumpId !== null) {
      if (report.isCreated) this.#createdTables.add(task.dataDumpId);
      if (!isDone && this.#plan.options.noDataForFailedTables) this.#inhibited.add(task.dataDumpId);
    }
    if (isDone) this.#doneCount += 1;
    this.#largeObjectCount += report.largeObjectCount;
    if (report.rows !== null) {
      this.#rows.push(report.rows);
      this.#emit({ kind: "table loaded", rows: report.rows });
    }
    this.#emit({ kind: "entry ended", entry, worker: worker.index, isDone });
    this.#noteErrors(entryFailure(entry, report.errors));
    return isDone;
  }

  #noteErrors(failure: EntryFailure): void {
    if (failure.errors.length === 0) return;
    this.#failures.push(failure);
    this.#emit({ kind: "entry failed", failure });
    if (!stopsAtFirstError(this.#plan.options)) return;
    this.#isStopped = true;
    throw new EndOfRun();
  }

  async #finish(leader: RestoreWorker): Promise<void> {
    if (this.#options.analyze) {
      this.#emit({ kind: "phase", phase: "analyze" });
      await leader.run("ANALYZE;");
    }
    // Commits so far did not wait for the disk; this one does, for all of them.
    await leader.run("SET synchronous_commit = on; SELECT pg_catalog.txid_current();");
  }

  #context(isParallel: boolean): TaskContext {
    return {
      plan: this.#plan,
      contents: this.#contents,
      isInTransaction: !isParallel && this.#batches.isUsed,
      isParallel,
      record: this.#options.record ?? null,
      walLevelIsMinimal: this.#walLevelIsMinimal,
      wasCreated: (dumpId) => this.#createdTables.has(dumpId),
      offerLoad: (load) => {
        this.#loads.set(load.dumpId, load);
        this.#wake();
      },
      withdrawLoad: (load) => void this.#loads.delete(load.dumpId),
      onWork: () => this.#wake(),
      onData: (task, worker, sizeBytes) =>
        this.#emit({ kind: "data", entry: task.entry, worker: worker.index, sizeBytes }),
    };
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  #result(): RestoreResult {
    const wanted = [...this.#plan.serial, ...this.#plan.parallel].filter((task) => task.isWanted);
    const skipped = wanted.map((task) => task.entry.dumpId).filter((id) => !this.#tried.has(id));
    const tookBack = this.#isStopped && this.#plan.options.singleTransaction === true;
    return {
      isComplete: this.#failures.length === 0 && skipped.length === 0,
      stoppedEarly: this.#isStopped,
      entriesDone: tookBack ? 0 : this.#doneCount,
      entriesFailed: this.#failures,
      entriesSkipped: skipped,
      rowsByTable: tookBack ? [] : this.#rows,
      largeObjectCount: tookBack ? 0 : this.#largeObjectCount,
      adaptations: this.#plan.adaptations,
      warnings: [...this.#plan.warnings, ...this.#warnings],
    };
  }
}

function schedulable(task: RestoreTask): PlannedTask {
  const { pass, isWanted, dependencies, locks, uses, sizeBytes, workBytes, entry } = task;
  return { task, dumpId: entry.dumpId, pass, isWanted, dependencies, locks, uses, sizeBytes, workBytes };
}
