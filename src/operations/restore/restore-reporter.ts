// Turns what a restore tells into progress events.

import type { RestoreEvent, RestorePlan } from "../../restore/index.ts";
import type { OperationContext, OperationEvent } from "../operation.ts";

const INTERVAL_MS = 200;

export class RestoreReporter {
  readonly #context: OperationContext;
  #totalBytes = 0;
  #tablesTotal = 0;
  #rawBytes = 0;
  #rowCount = 0;
  #tablesDone = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  /** Learns how much there is to do; the plan's sizes count only when they are those of the data as it is sent. */
  expect(plan: RestorePlan, areSizesExact = true): void {
    const loads = [...plan.serial, ...plan.parallel].filter(({ isWanted, load }) => isWanted && load !== null);
    this.#totalBytes = !areSizesExact ? 0 : loads.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#tablesTotal = loads.filter(({ load }) => load?.kind !== "large-objects").length;
  }

  report(event: RestoreEvent): void {
    const onEvent = (told: OperationEvent): void => this.#context.onEvent(told);
    switch (event.kind) {
      case "phase":
        onEvent({ type: "phase", phase: event.phase, message: `restoring: ${event.phase}` });
        break;
      case "drop":
        onEvent({
          type: "notice",
          notice: { severity: "info", message: `dropping ${event.entry.description} "${event.entry.tag}"` },
        });
        break;
      case "entry failed": {
        const { description, tag, errors } = event.failure;
        const message = `could not restore ${description} "${tag}": ${errors[0]?.message ?? "unknown error"}`;
        onEvent({ type: "notice", notice: { severity: "warning", message, hint: errors[0]?.hint } });
        break;
      }
      case "data":
        this.#rawBytes += event.sizeBytes;
        this.#progress();
        break;
      case "table loaded":
        this.#tablesDone += 1;
        this.#rowCount += event.rows.rows;
        onEvent({
          type: "table-done",
          table: `${event.rows.namespace ?? ""}.${event.rows.table}`,
          rowCount: event.rows.rows,
          rawBytes: event.rows.sizeBytes,
        });
        break;
      default:
        break;
    }
  }

  #progress(): void {
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < INTERVAL_MS) return;
    this.#reportedAtMs = nowMs;
    this.#context.onEvent({
      type: "progress",
      progress: {
        rawBytes: this.#rawBytes,
        storedBytes: 0,
        rowCount: this.#rowCount,
        fractionDone: this.#totalBytes === 0 ? null : Math.min(1, this.#rawBytes / this.#totalBytes),
        tablesDone: this.#tablesDone,
        tablesTotal: this.#tablesTotal,
      },
    });
  }
}
