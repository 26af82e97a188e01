// Turns what an import has read into progress events.

import type { OperationContext } from "../operation.ts";

const INTERVAL_MS = 200;

export class ImportReporter {
  readonly #context: OperationContext;
  readonly #tablesTotal: number;
  #rawBytes = 0;
  #rowCount = 0;
  #tablesDone = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: OperationContext, tablesTotal: number) {
    this.#context = context;
    this.#tablesTotal = tablesTotal;
  }

  add(added: { readonly rawBytes: number; readonly rowCount: number }): void {
    this.#rawBytes += added.rawBytes;
    this.#rowCount += added.rowCount;
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < INTERVAL_MS) return;
    this.#reportedAtMs = nowMs;
    const { tablesDone, tablesTotal } = { tablesDone: this.#tablesDone, tablesTotal: this.#tablesTotal };
    const progress = { rawBytes: this.#rawBytes, rowCount: this.#rowCount, storedBytes: 0, fractionDone: null };
    this.#context.onEvent({ type: "progress", progress: { ...progress, tablesDone, tablesTotal } });
  }

  tableDone(): void {
    this.#tablesDone += 1;
  }
}
