// Waits until WAL summaries reach an LSN. A summary ends where a checkpoint begins, so either the next timed checkpoint
// is awaited, or one is asked for. Every wait ends: at its limit, or when nothing more is to be expected (wait-verdict.ts).
// Source: docs/formats/incremental.md; checkpointer.c and xlog.c, CreateCheckPoint; walsummarizer.c.

import { setTimeout as delay } from "node:timers/promises";

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { Session } from "../../postgres/index.ts";
import { formatLsn } from "../rules/lsn.ts";
import { ask, textOf } from "./ask.ts";
import { makeCheckpoint } from "./near-checkpoint.ts";
import type { WaitProgress } from "./wait-verdict.ts";
import { hasMoved, SUMMARIZER_STALL_MS, vainBecause } from "./wait-verdict.ts";

/** How long it is waited at most: a timed checkpoint comes every five minutes by default. */
export const SUMMARY_WAIT_LIMIT_MS = 360_000;

/** A question that is still open so long after the limit is cut off with its session. */
const CUT_OFF_MS = 2_000;

const POLL_MS_MIN = 25;
const POLL_MS_MAX = 1_000;

export interface AwaitSummariesOptions {
  readonly timeline: number;
  readonly untilLsn: bigint;
  /** "now" asks for a checkpoint, "wait" waits for the next one; on a standby the primary's is waited for in any case. */
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

/** Waits on a session that is in no transaction. Throws when the signal is aborted; all else is told in the outcome. */
export async function awaitSummaries(session: Session, options: AwaitSummariesOptions): Promise<SummaryWait> {
  const startedMs = performance.now();
  const limit = AbortSignal.timeout(options.limitMs);
  const limited = { ...options, signal: AbortSignal.any([options.signal, limit]) };
  const wait = new Wait(session, limited);
  const cutOff = setTimeout(() => session.destroy(), options.limitMs + CUT_OFF_MS);
  let reason: string | null;
  try {
    reason = await wait.run();
  } catch (error) {
    options.signal.throwIfAborted();
    reason = limit.aborted ? tooLong(options) : refusal(error, wait.isCheckpointMade);
  } finally {
    clearTimeout(cutOff);
  }
  const { isCheckpointMade } = wait;
  const cost = { waitedMs: Math.round(performance.now() - startedMs), isCheckpointMade };
  if (reason === null) return { kind: "reached", ...cost };
  const isStandbys = options.mode === "now" && wait.isStandby;
  return { kind: "not-reached", reason: isStandbys ? `${reason}; ${STANDBY_CHECKPOINT}` : reason, ...cost };
}

const STANDBY_CHECKPOINT = "a checkpoint on a standby ends no summary, only the primary's does";

class Wait {
  isCheckpointMade = false;
  isStandby = false;
  readonly #session: Session;
  readonly #options: AwaitSummariesOptions;

  constructor(session: Session, options: AwaitSummariesOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Null when the LSN is reached, else why it will not be. */
  async run(): Promise<string | null> {
    const { mode, stallMs = SUMMARIZER_STALL_MS } = this.#options;
    const first = await readProgress(this.#session, this.#options);
    const reason = vainBecause(first, { waitedMs: 0, stillMs: 0, stallMs });
    if (reason !== null || first.isReached) return reason;
    this.isStandby = first.isStandby;
    if (first.isStandby) return this.#poll(first, stallMs);
    if (mode === "now") await this.#makeCheckpoint();
    else await writeRecord(this.#session, this.#options.signal);
    return this.#poll(first, stallMs);
  }

  async #makeCheckpoint(): Promise<void> {
    await makeCheckpoint(this.#session, this.#options.signal);
    this.isCheckpointMade = true;
  }

  /** The limit is the signal's. */
  async #poll(first: WaitProgress, stallMs: number): Promise<string | null> {
    const { signal } = this.#options;
    const startedMs = performance.now();
    let movedMs = startedMs;
    let last = first;
    for (let pauseMs = POLL_MS_MIN; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MS_MAX)) {
      const progress = await readProgress(this.#session, this.#options);
      const nowMs = performance.now();
      if (hasMoved(last, progress)) movedMs = nowMs;
      last = progress;
      const times = { waitedMs: nowMs - startedMs, stillMs: nowMs - movedMs, stallMs };
      const reason = vainBecause(progress, times);
      if (reason !== null || progress.isReached) return reason;
      await delay(pauseMs, undefined, { signal });
    }
  }
}

/**
 * Has an idle server make its next timed checkpoint, which it leaves out when nothing was written since the last: a
 * transaction with an id of its own leaves a record. One that cannot be is no failure, the wait is then as long as it is.
 */
async function writeRecord(session: Session, signal: AbortSignal): Promise<void> {
  try {
    await session.query("SELECT pg_catalog.pg_current_xact_id()", { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!session.isConnected) throw error;
  }
}

function tooLong({ untilLsn, limitMs }: AwaitSummariesOptions): string {
  return `no WAL summary reached ${formatLsn(untilLsn)} in ${formatDuration(limitMs)}`;
}

function refusal(error: unknown, isCheckpointMade: boolean): string {
  if (!isOperatingError(error)) throw error;
  if (!isCheckpointMade && error.code === "insufficient_privilege") {
    return "the role may not ask for a checkpoint: it is not in pg_checkpoint";
  }
  return `waiting for the WAL summaries failed: ${messageOf(error)}`;
}

async function readProgress(session: Session, options: AwaitSummariesOptions): Promise<WaitProgress> {
  const until = `'${formatLsn(options.untilLsn)}'::pg_catalog.pg_lsn`;
  const query = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_available_wal_summaries() AS s WHERE s.tli = ${options.timeline} AND s.end_lsn >= ${until}),
       pg_catalog.current_setting('summarize_wal'), pg_catalog.pg_is_in_recovery(),
       c.timeline_id = ${options.timeline} AND c.redo_lsn >= ${until},
       c.checkpoint_time < pg_catalog.now() - 2 * pg_catalog.current_setting('checkpoint_timeout')::interval - '30 s'::interval,
       greatest(c.timeline_id, z.summarized_tli) > ${options.timeline},
       pg_catalog.concat_ws(' ', z.summarized_tli, z.summarized_lsn, z.pending_lsn, z.summarizer_pid)
  FROM pg_catalog.pg_control_checkpoint() AS c CROSS JOIN pg_catalog.pg_get_wal_summarizer_state() AS z`;
  const row = (await ask(session, query, options.signal))[0]!;
  const isTrue = (index: number): boolean => textOf(row, index) === "t";
  return {
    isReached: isTrue(0),
    isOn: textOf(row, 1) === "on",
    isStandby: isTrue(2),
    isCheckpointPast: isTrue(3),
    isIdle: isTrue(4),
    isTimelineOver: isTrue(5),
    summarizer: textOf(row, 6),
  };
}
