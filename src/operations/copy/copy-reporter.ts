// Turns what a copy has done into progress events, at most a few a second.

import type { CopyProgress, RestorePointSummary } from "../../repository/index.ts";
import { beginPhase } from "../events.ts";
import type { OperationContext } from "../operation.ts";

const INTERVAL_MS = 200;

/** Reports one restore point after the other. */
export class CopyReporter {
  readonly #context: OperationContext;
  readonly #total: number;
  #count = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: OperationContext, total: number) {
    this.#context = context;
    this.#total = total;
  }

  begin({ id, lineage }: RestorePointSummary): void {
    this.#count += 1;
    this.#reportedAtMs = Number.NEGATIVE_INFINITY;
    const which = this.#total === 1 ? "" : ` (${this.#count} of at most ${this.#total})`;
    beginPhase(this.#context, "copy", `copying ${id} of ${lineage.name}${which}`);
  }

  report({ doneBytes, rawBytes, relationsDone, relationsTotal, rowCount, totalBytes }: CopyProgress): void {
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < INTERVAL_MS) return;
    this.#reportedAtMs = nowMs;
    const fractionDone = totalBytes === 0 ? null : Math.min(1, doneBytes / totalBytes);
    const progress = { rawBytes, storedBytes: doneBytes, rowCount, fractionDone };
    this.#context.onEvent({
      type: "progress",
      progress: { ...progress, tablesDone: relationsDone, tablesTotal: relationsTotal },
    });
  }
}
