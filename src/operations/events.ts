// Small makers of events that several operations report.

import type { Notice, OperationContext } from "./operation.ts";

/** Reports a warning and gives its text for the receipt. */
export function warn(context: OperationContext, notice: Omit<Notice, "severity">): string {
  context.onEvent({ type: "notice", notice: { severity: "warning", ...notice } });
  return notice.message;
}

/** Reports that a phase begins. */
export function beginPhase(context: OperationContext, phase: string, message: string): void {
  context.signal.throwIfAborted();
  context.onEvent({ type: "phase", phase, message });
}
