// SIGINT, SIGTERM and SIGHUP: the first cancels the run and lets it clean up, a second one ends the process at once.

import { InterruptedError } from "./interrupted-error.ts";
import type { EndingSignal } from "./interrupted-error.ts";

/** How long a cancelled run may take to cancel the server's queries and clear away what it began. */
export const CLEAN_UP_TIMEOUT_MS = 10_000;

const ENDING_SIGNALS: readonly EndingSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** What happens to a run from outside. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** As SIGINT does: for Ctrl-C as a key of a terminal in raw mode. */
  interrupt(signalName?: EndingSignal): void;
  stopListening(): void;
}

/** Listens for the signals. `onFirst` is told at the first; `endAtOnce` must end the process. */
export function listenForSignals(onFirst: () => void, endAtOnce: (status: number) => void): Interruption {
  const controller = new AbortController();
  const interrupt = (signalName: EndingSignal = "SIGINT"): void => {
    const reason = new InterruptedError(signalName);
    if (controller.signal.aborted) return endAtOnce(reason.exitStatus);
    controller.abort(reason);
    onFirst();
  };
  const listener = (signalName: NodeJS.Signals): void => interrupt(signalName as EndingSignal);
  for (const signalName of ENDING_SIGNALS) process.on(signalName, listener);
  const stopListening = (): void => {
    for (const signalName of ENDING_SIGNALS) process.off(signalName, listener);
  };
  return { signal: controller.signal, interrupt, stopListening };
}

/**
 * The outcome of a run, or the signal's reason once it was cancelled: thrown when the run has ended, or when it has not
 * after `timeoutMs`.
 */
export async function untilCleanedUp<T>(run: Promise<T>, signal: AbortSignal, timeoutMs: number): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => reject(signal.reason as Error), timeoutMs);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([run, tooLate]);
  } catch (error) {
    if (signal.aborted) throw signal.reason as Error;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
