// Is it still worth waiting for WAL summaries? (pure)

import { formatDuration } from "../../base/units.ts";

/** The summarizer naps up to 30 s when there was nothing to do, and 10 s after an error. */
export const SUMMARIZER_STALL_MS = 60_000;

/** How long an idle primary is waited for on a standby, where nothing can be written to end its idleness. */
export const IDLE_WAIT_MS = 45_000;

/** Where summaries, summarizer and checkpoints are. */
export interface WaitProgress {
  readonly isReached: boolean;
  /** summarize_wal */
  readonly isOn: boolean;
  readonly isStandby: boolean;
  /** The server has gone over to a later timeline: nothing more is summarized of the one awaited. */
  readonly isTimelineOver: boolean;
  /** The last checkpoint began after the LSN awaited: from then on only the summarizer is waited for. */
  readonly isCheckpointPast: boolean;
  /** It is older than two intervals: they are left out while nothing is written. */
  readonly isIdle: boolean;
  /** Changes when the summarizer does anything. */
  readonly summarizer: string;
}

/** How long it has been waited, and for how long neither summarizer nor checkpoint have moved. */
export interface WaitTimes {
  readonly waitedMs: number;
  readonly stillMs: number;
  readonly stallMs: number;
}

/** Whether something happened between two looks. */
export function hasMoved(before: WaitProgress, after: WaitProgress): boolean {
  return before.summarizer !== after.summarizer || before.isCheckpointPast !== after.isCheckpointPast;
}

/** Why nothing more is to be expected; null: it is reached, or may still be. */
export function vainBecause(progress: WaitProgress, { waitedMs, stillMs, stallMs }: WaitTimes): string | null {
  if (progress.isReached) return null;
  if (!progress.isOn) return "summarize_wal is off";
  if (progress.isTimelineOver) return "the server has gone over to another timeline";
  if (progress.isCheckpointPast) {
    return stillMs <= stallMs
      ? null
      : `the WAL summarizer has done nothing for ${formatDuration(stillMs)} although a checkpoint has passed`;
  }
  if (!progress.isStandby || !progress.isIdle || waitedMs <= IDLE_WAIT_MS) return null;
  return "the primary is idle and makes no timed checkpoint";
}
