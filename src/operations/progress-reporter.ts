// Turns what readers and sinks count into progress events, at most a few a second. The fraction done is by heap blocks,
// the only total that is known before the reading.

import type { Dump, PlannedTask, TablePlan } from "../dump/index.ts";
import type { OperationContext } from "./operation.ts";

const INTERVAL_MS = 200;

/** What a sink has counted so far. */
export interface SinkCounts {
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly takenOverBytes?: number;
  readonly rowCount: number;
}

export class ProgressReporter {
  readonly #context: OperationContext;
  readonly #counts: () => SinkCounts;
  readonly #segmentsLeft: Map<number, number>;
  readonly #tablesTotal: number;
  readonly #taskTotal: number;
  #tasksDone = 0;
  #tablesDone = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: OperationContext, dump: Dump, counts: () => SinkCounts) {
    this.#context = context;
    this.#counts = counts;
    this.#segmentsLeft = new Map(dump.tables.map((table) => [table.dumpId, table.segments.length]));
    this.#tablesTotal = dump.tables.length;
    this.#taskTotal = dump.tables.reduce((sum, table) => sum + table.segments.length, dump.largeObjectBuckets.length);
  }

  taskStarted(task: PlannedTask, readerIndex: number): void {
    const table = tableOf(task);
    const segmentIndex = task.kind === "table" ? task.segmentIndex : task.bucket.bucketIndex;
    if (table !== null && segmentIndex === 0) this.#context.onEvent({ type: "table-started", table });
    this.#context.onEvent({ type: "segment-started", readerIndex, table, segmentIndex });
  }

  taskDone(task: PlannedTask, readerIndex: number): void {
    this.#tasksDone += 1;
    if (task.kind === "table") this.#countSegment(task.table);
    const segmentIndex = task.kind === "table" ? task.segmentIndex : task.bucket.bucketIndex;
    this.#context.onEvent({ type: "segment-done", readerIndex, table: tableOf(task), segmentIndex });
    this.#report();
  }

  /** A segment of the table was taken over without being read. */
  segmentTakenOver(table: TablePlan): void {
    this.#tasksDone += 1;
    this.#countSegment(table);
    this.#report();
  }

  /** A bucket of large objects was. */
  largeObjectsTakenOver(): void {
    this.#tasksDone += 1;
    this.#report();
  }

  #countSegment({ dumpId }: TablePlan): void {
    const left = this.#segmentsLeft.get(dumpId)! - 1;
    this.#segmentsLeft.set(dumpId, left);
    if (left === 0) this.#tablesDone += 1;
  }

  #report(): void {
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < INTERVAL_MS && this.#tasksDone < this.#taskTotal) return;
    this.#reportedAtMs = nowMs;
    const { rawBytes, storedBytes, takenOverBytes = 0, rowCount } = this.#counts();
    const fractionDone = this.#taskTotal === 0 ? 1 : this.#tasksDone / this.#taskTotal;
    const progress = { rawBytes, storedBytes, takenOverBytes, rowCount, fractionDone };
    this.#context.onEvent({
      type: "progress",
      progress: { ...progress, tablesDone: this.#tablesDone, tablesTotal: this.#tablesTotal },
    });
  }
}

function tableOf(task: PlannedTask): string | null {
  return task.kind === "table" ? `${task.table.relation.namespace}.${task.table.relation.name}` : null;
}
