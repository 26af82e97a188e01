// Waits until WAL summaries reach an LSN. A summary ends where a checkpoint begins, so either the next timed checkpoint
// is awaited, or one is asked for. Every wait ends: at its limit, when the summarizer is off or stands still although a
// checkpoint has passed, or when the server is idle and so makes no timed checkpoint at all.

import { setTimeout as delay } from "node:timers/promises";

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { Session } from "../../postgres/index.ts";
import type { Rows } from "./ask.ts";
import { ask, textOf } from "./ask.ts";
import { formatLsn } from "../rules/lsn.ts";

/** How long it is waited at most: a timed checkpoint comes every five minutes by default. */
export const SUMMARY_WAIT_LIMIT_MS = 360_000;

/** The summarizer naps up to 30 s when there was nothing to do, and 10 s after an error. */
const SUMMARIZER_STALL_MS = 60_000;

/** On an idle server a checkpoint that came due is made within 15 s of the first record that matters. */
const IDLE_WAIT_MS = 45_000;

const POLL_MS_MIN = 25;
const POLL_MS_MAX = 1_000;

export interface AwaitSummariesOptions {
  readonly timeline: number;
  readonly untilLsn: bigint;
  /** "now" asks for a checkpoint, "wait" waits for the next one. */
  readonly mode: "wait" | "now";
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** For tests. */
  readonly stallMs?: number;
}

/** How a wait ended, and what it cost. */
export type SummaryWait = {
  readonly waitedMs: number;
  /** Whether a checkpoint was asked for and made. */
  readonly isCheckpointMade: boolean;
} & ({ readonly kind: "reached" } | { readonly kind: "not-reached"; readonly reason: string });

/** Where summaries, summarizer and checkpoints are. */
interface Progress {
  readonly isReached: boolean;
  readonly isOn: boolean;
  readonly isStandby: boolean;
  /** The last checkpoint began after the LSN awaited: from then on only the summarizer is waited for. */
  readonly isCheckpointPast: boolean;
  /** Older than two intervals: the server skips them, since it has nothing to write. */
  readonly isIdle: boolean;
  /** Changes when the summarizer does anything. */
  readonly summarizer: string;
}

/** Waits. Throws when the session is lost or the signal aborted; all else is told in the outcome. */
export async function awaitSummaries(session: Session, options: AwaitSummariesOptions): Promise<SummaryWait> {
  const startedMs = performance.now();
  const limit = AbortSignal.timeout(options.limitMs);
  const attempt = { ...options, signal: AbortSignal.any([options.signal, limit]) };
  let isCheckpointMade = false;
  let reason: string | null;
  try {
    let progress = await readProgress(session, attempt);
    reason = objectionTo(progress);
    if (reason === null && !progress.isReached && options.mode === "now" && !progress.isStandby) {
      await session.query("CHECKPOINT", { signal: attempt.signal });
      isCheckpointMade = true;
      progress = await readProgress(session, attempt);
    }
    if (reason === null && !progress.isReached) reason = await poll(session, attempt, progress);
  } catch (error) {
    options.signal.throwIfAborted();
    if (!session.isConnected) throw error;
    if (limit.aborted)
      reason = `no WAL summary reached ${formatLsn(options.untilLsn)} in ${formatDuration(options.limitMs)}`;
    else reason = refusal(error, isCheckpointMade);
  }
  const cost = { waitedMs: Math.round(performance.now() - startedMs), isCheckpointMade };
  return reason === null ? { kind: "reached", ...cost } : { kind: "not-reached", reason, ...cost };
}

/** Polls until the LSN is reached (null) or nothing more is to be expected. The limit is the signal's. */
async function poll(session: Session, options: AwaitSummariesOptions, first: Progress): Promise<string | null> {
  const { signal, stallMs = SUMMARIZER_STALL_MS } = options;
  const startedMs = performance.now();
  let progress = first;
  let movedMs = startedMs;
  for (let pauseMs = POLL_MS_MIN; !progress.isReached; pauseMs = Math.min(pauseMs * 1.5, POLL_MS_MAX)) {
    await delay(pauseMs, undefined, { signal });
    const next = await readProgress(session, options);
    const hasMoved = next.summarizer !== progress.summarizer || next.isCheckpointPast !== progress.isCheckpointPast;
    progress = next;
    const nowMs = performance.now();
    if (hasMoved) movedMs = nowMs;
    const objection = objectionTo(progress);
    if (objection !== null) return objection;
    if (progress.isReached) break;
    if (progress.isCheckpointPast && nowMs - movedMs > stallMs) {
      return `the WAL summarizer has done nothing for ${formatDuration(stallMs)} although a checkpoint has passed`;
    }
    if (!progress.isCheckpointPast && progress.isIdle && nowMs - startedMs > Math.min(stallMs, IDLE_WAIT_MS)) {
      return "the server is idle and makes no timed checkpoint; --checkpoint now asks for one";
    }
  }
  return null;
}

function objectionTo({ isOn, isReached }: Progress): string | null {
  return isOn || isReached ? null : "summarize_wal is off";
}

function refusal(error: unknown, isCheckpointMade: boolean): string {
  if (!isOperatingError(error)) throw error;
  if (!isCheckpointMade && error.code === "insufficient_privilege") {
    return "the role may not ask for a checkpoint: it is not in pg_checkpoint";
  }
  return `waiting for the WAL summaries failed: ${messageOf(error)}`;
}

async function readProgress(session: Session, options: AwaitSummariesOptions): Promise<Progress> {
  const until = `'${formatLsn(options.untilLsn)}'::pg_catalog.pg_lsn`;
  const rows: Rows = await ask(
    session,
    `
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_wal_summaries() AS s WHERE s.tli = ${options.timeline} AND s.end_lsn >= ${until}),
       pg_catalog.current_setting('summarize_wal'), pg_catalog.pg_is_in_recovery(),
       c.timeline_id = ${options.timeline} AND c.redo_lsn >= ${until},
       c.checkpoint_time < pg_catalog.now() - 2 * pg_catalog.current_setting('checkpoint_timeout')::interval - '30 s'::interval,
       pg_catalog.concat_ws(' ', z.summarized_tli, z.summarized_lsn, z.pending_lsn, coalesce(z.summarizer_pid::pg_catalog.text, '-'))
  FROM pg_catalog.pg_control_checkpoint() AS c CROSS JOIN pg_catalog.pg_get_wal_summarizer_state() AS z`,
    options.signal,
  );
  const row = rows[0]!;
  const isTrue = (index: number): boolean => textOf(row, index) === "t";
  return {
    isReached: isTrue(0),
    isOn: textOf(row, 1) === "on",
    isStandby: isTrue(2),
    isCheckpointPast: isTrue(3),
    isIdle: isTrue(4),
    summarizer: textOf(row, 5),
  };
}
