// What a free connection does next: a state machine over the parallel part of a plan. Pure: no clock, no sockets; the
// caller says what finished. A task starts when its dependencies are finished (done or failed: pg_restore goes on after
// errors), its pass has come, and no running task needs what it locks or locks what it needs. What has the most work
// behind it goes first, be it a task that starts or the load of a table under way that another connection may join.
// Source: pg_backup_archiver.c (18), restore_toc_entries_parallel, pop_next_work_item, has_lock_conflicts.

import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import { planTails, workOf } from "./critical-path.ts";
import { RESTORE_PASSES, type RestorePass } from "./entry-kinds.ts";

/** What the scheduler looks at in a task. */
export interface SchedulableTask {
  readonly dumpId: number;
  readonly pass: RestorePass;
  /** False: finished as soon as its turn comes, without a worker. */
  readonly isWanted: boolean;
  /** Dump ids, each of a task of the same schedule. */
  readonly dependencies: readonly number[];
  readonly locks: readonly number[];
  /** All dump ids that the task uses, whether or not they are in the schedule; those of `locks` among them. */
  readonly uses: readonly number[];
  readonly sizeBytes: number;
  /** Estimated work, in bytes of COPY text that take as long; 0 when unknown. */
  readonly workBytes: number;
}

/** The load of a table that runs, as it is now. */
export interface RunningLoad {
  /** Of a running task. */
  readonly dumpId: number;
  readonly mayBeJoined: boolean;
  /** Pieces of it are waiting for a connection. */
  readonly hasWaiting: boolean;
  readonly connectionCount: number;
  readonly sentBytes: number;
}

/** What a free connection does. */
export type NextStep<T> =
  | { readonly kind: "start"; readonly task: T }
  | { readonly kind: "join"; readonly dumpId: number };

/** Work that a connection must find in a table to join it although something else could be started. */
export const JOIN_WORK_BYTES_MIN = 4 * MIB;

/** How a task ended. A skipped one never began. */
export type TaskOutcome = "done" | "failed" | "skipped";

/** The order of work of one restore. */
export class Schedule<T extends SchedulableTask> {
  readonly #tasks: ReadonlyMap<number, T>;
  readonly #dependents = new Map<number, number[]>();
  readonly #openCounts = new Map<number, number>();
  readonly #outcomes = new Map<number, TaskOutcome>();
  readonly #running = new Map<number, T>();
  readonly #inhibited = new Set<number>();
  /** Ready in the current pass, those with the most work in and behind them first. */
  readonly #ready: T[] = [];
  readonly #connectionCount: number;
  readonly #tails: ReadonlyMap<number, number>;
  /** Work of all tasks that have not ended. */
  #openWork = 0;
  /** Without open dependencies, but of a later pass. */
  readonly #laterPass: T[] = [];
  #passIndex = 0;
  #stopped = false;

  constructor(tasks: readonly T[], connectionCount: number) {
    this.#tasks = new Map(tasks.map((task) => [task.dumpId, task]));
    this.#connectionCount = connectionCount;
    this.#tails = planTails(tasks);
    for (const task of tasks) this.#openWork += workOf(task);
    assert(this.#tasks.size === tasks.length, "dump ids of a schedule are unique");
    for (const task of tasks) {
      this.#openCounts.set(task.dumpId, task.dependencies.length);
      for (const id of task.dependencies) {
        assert(this.#tasks.has(id), "dependencies of a schedule are in it");
        const dependents = this.#dependents.get(id);
        if (dependents === undefined) this.#dependents.set(id, [task.dumpId]);
        else dependents.push(task.dumpId);
      }
    }
    for (const task of tasks) if (task.dependencies.length === 0) this.#makeReady(task);
  }

  /** Takes the next step of a free connection; null when there is nothing to start or join now. */
  takeNext(loads: readonly RunningLoad[] = []): NextStep<T> | null {
    if (this.#stopped) return null;
    const task = this.#findReady();
    if (task === null) {
      const longest = this.#longest(loads, ({ load, enough }) => load.hasWaiting || enough);
      return longest === null ? null : { kind: "join", dumpId: longest.load.dumpId };
    }
    // What has more than an even share of the work behind it ends last unless it begins now: a task first, because only
    // a load can be helped later, too; then such a load; then the rest.
    const share = this.#remainingWork(loads) / this.#connectionCount;
    const critical =
      this.#pathOf(task) > share ? null : this.#longest(loads, ({ enough, path }) => enough && path > share);
    if (critical !== null) return { kind: "join", dumpId: critical.load.dumpId };
    this.#ready.splice(this.#ready.indexOf(task), 1);
    this.#running.set(task.dumpId, task);
    return { kind: "start", task };
  }

  /** Says that a task that takeNext() gave has ended. */
  finish(dumpId: number, outcome: "done" | "failed"): void {
    assert(this.#running.delete(dumpId), "only a running task ends");
    this.#settle(dumpId, outcome);
  }

  /** The task will not be run when its turn comes: the data of a table that could not be created. */
  inhibit(dumpId: number): void {
    this.#inhibited.add(dumpId);
  }

  /** Starts nothing more; what has not begun is skipped. */
  stop(): void {
    this.#stopped = true;
    for (const id of this.#tasks.keys()) {
      if (!this.#outcomes.has(id) && !this.#running.has(id)) this.#outcomes.set(id, "skipped");
    }
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** True when every task has ended. */
  get isFinished(): boolean {
    return this.#outcomes.size === this.#tasks.size;
  }

  /** By dump id, of the tasks that have ended. */
  get outcomes(): ReadonlyMap<number, TaskOutcome> {
    return this.#outcomes;
  }

  /** The first task that may start; goes on to the next pass when this one has ended. */
  #findReady(): T | null {
    for (;;) {
      const task = this.#findReadyInPass();
      if (task !== null) return task;
      if (this.#ready.length > 0 || this.#running.size > 0) return null;
      if (this.#passIndex === RESTORE_PASSES.length - 1) return null;
      this.#passIndex += 1;
      for (const waiting of this.#laterPass.splice(0)) this.#makeReady(waiting);
    }
  }

  #findReadyInPass(): T | null {
    let index = 0;
    while (index < this.#ready.length) {
      const task = this.#ready[index] as T;
      if (!task.isWanted || this.#inhibited.has(task.dumpId)) {
        this.#ready.splice(index, 1);
        this.#settle(task.dumpId, "skipped");
        index = 0;
      } else if (this.#conflicts(task)) {
        index += 1;
      } else {
        return task;
      }
    }
    return null;
  }

  /** Of the loads that may be joined, the one with the longest way to the end when nobody joins it. */
  #longest(loads: readonly RunningLoad[], isEligible: (load: WeighedLoad) => boolean): WeighedLoad | null {
    let longest: WeighedLoad | null = null;
    for (const load of loads) {
      if (!load.mayBeJoined) continue;
      const weighed = this.#weigh(load);
      if (isEligible(weighed) && (longest === null || weighed.path > longest.path)) longest = weighed;
    }
    return longest;
  }

  #weigh(load: RunningLoad): WeighedLoad {
    const task = this.#running.get(load.dumpId);
    assert(task !== undefined, "a load belongs to a running task");
    const remaining = Math.max(0, workOf(task) - load.sentBytes);
    const path = remaining / load.connectionCount + (this.#tails.get(load.dumpId) ?? 0);
    return { load, path, enough: remaining / (load.connectionCount + 1) >= JOIN_WORK_BYTES_MIN };
  }

  #remainingWork(loads: readonly RunningLoad[]): number {
    let work = this.#openWork;
    for (const { dumpId, sentBytes } of loads) work -= Math.min(sentBytes, this.#tasks.get(dumpId)?.workBytes ?? 0);
    return work;
  }

  #pathOf(task: T): number {
    return workOf(task) + (this.#tails.get(task.dumpId) ?? 0);
  }

  #conflicts(task: T): boolean {
    for (const running of this.#running.values()) {
      if (locksAgainst(task, running) || locksAgainst(running, task)) return true;
    }
    return false;
  }

  #settle(dumpId: number, outcome: TaskOutcome): void {
    this.#outcomes.set(dumpId, outcome);
    const ended = this.#tasks.get(dumpId);
    if (ended !== undefined) this.#openWork -= workOf(ended);
    for (const id of this.#dependents.get(dumpId) ?? []) {
      const open = (this.#openCounts.get(id) ?? 0) - 1;
      assert(open >= 0, "a dependency is settled once");
      this.#openCounts.set(id, open);
      const task = this.#tasks.get(id);
      if (open === 0 && task !== undefined && !this.#outcomes.has(id)) this.#makeReady(task);
    }
  }

  #makeReady(task: T): void {
    // A task whose pass is already over (it waited for one of a later pass) goes now.
    if (RESTORE_PASSES.indexOf(task.pass) > this.#passIndex) {
      this.#laterPass.push(task);
      return;
    }
    let low = 0;
    let high = this.#ready.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#comesBefore(this.#ready[middle] as T, task)) low = middle + 1;
      else high = middle;
    }
    this.#ready.splice(low, 0, task);
  }

  #comesBefore(one: T, other: T): boolean {
    const difference = this.#pathOf(one) - this.#pathOf(other);
    if (difference !== 0) return difference > 0;
    if (one.sizeBytes !== other.sizeBytes) return one.sizeBytes > other.sizeBytes;
    return one.dumpId < other.dumpId;
  }
}

interface WeighedLoad {
  readonly load: RunningLoad;
  /** Work from now to the end of all that depends on the load, when nobody joins it. */
  readonly path: number;
  /** Enough remains for one connection more. */
  readonly enough: boolean;
}

function locksAgainst(one: SchedulableTask, other: SchedulableTask): boolean {
  return one.locks.some((id) => other.uses.includes(id));
}
