// Tells living runs of other machines and containers from dead ones: one whose counter moves lives, one whose counter
// stands still for DEAD_AFTER_MS is dead. Takes a minute beside a living run, half an hour after one that died.

import type { RepositoryContext } from "../context.ts";
import { DEAD_AFTER_MS } from "../run-record.ts";
import type { RunObserver, SeenRun } from "../run-record.ts";

const POLL_MS = 15_000;
/** A little longer, so that the last look comes after the time. */
const WATCH_MS_MAX = DEAD_AFTER_MS + 4 * POLL_MS;

export interface WatchOptions {
  readonly ownRunId: string;
  readonly signal: AbortSignal | undefined;
  readonly sleep: (timeMs: number, signal: AbortSignal | undefined) => Promise<void>;
  /** Called when there is something to wait for, with the runs in doubt. */
  readonly onWait: (runs: readonly SeenRun[]) => void;
}

/** Returns when no run is in doubt any more; state "unknown" then means alive. */
export async function watchRuns(
  context: RepositoryContext,
  observer: RunObserver,
  options: WatchOptions,
): Promise<void> {
  const { onWait, ownRunId, signal, sleep } = options;
  const beginMs = context.clock.monotonicMs();
  let runs = await observer.runs(signal);
  const counters = new Map(runs.map(({ counter, runId }) => [runId, counter]));
  const isInDoubt = ({ counter, runId, state }: SeenRun): boolean => {
    return state === "unknown" && runId !== ownRunId && counters.get(runId) === counter;
  };
  if (runs.some(isInDoubt)) onWait(runs.filter(isInDoubt));
  while (runs.some(isInDoubt) && context.clock.monotonicMs() - beginMs < WATCH_MS_MAX) {
    await sleep(POLL_MS, signal);
    runs = await observer.runs(signal);
  }
}
