// The wait for WAL summaries that reach the snapshot: before the reading where something could be taken over then, else
// beside it, and after it for what is left: the seal, without which the next run reads everything. Never fails a backup.

import { isOperatingError, messageOf } from "../../../base/errors.ts";
import { awaitSummaries, SUMMARY_WAIT_LIMIT_MS, type SummaryWait } from "../../../incremental/index.ts";
import { openSession } from "../../../postgres/index.ts";
import { beginPhase } from "../../events.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import type { ServerView } from "./server-view.ts";
import type { WaitFacts } from "./types.ts";
import type { AnnouncedWait } from "./wait-choice.ts";

/** Tells what is going to be waited for. */
export function announce(context: OperationContext, phase: string, { message, note }: AnnouncedWait): void {
  beginPhase(context, phase, message);
  if (note !== null) context.onEvent({ type: "notice", notice: { severity: "info", ...note } });
}

/** How a wait ended. */
export interface WaitOutcome {
  /** Null: the summaries have reached the snapshot. */
  readonly missedBecause: string | null;
}

interface WaitParts {
  readonly source: SettledSource;
  readonly server: ServerView;
  readonly mode: "wait" | "now";
}

/** One run's wait. Dispose of it: what still waits is ended. */
export class SummariesAwaited implements AsyncDisposable {
  readonly #context: OperationContext;
  readonly #parts: WaitParts;
  readonly #ended = new AbortController();
  #beside: Promise<WaitOutcome> | null = null;
  #besideEndsMs = 0;
  #beforeReadingMs = 0;
  #afterReadingMs = 0;
  #isCheckpointMade = false;

  constructor(context: OperationContext, parts: WaitParts) {
    this.#context = context;
    this.#parts = parts;
  }

  get facts(): WaitFacts {
    const beforeReadingMs = Math.round(this.#beforeReadingMs);
    const afterReadingMs = Math.round(this.#afterReadingMs);
    return { beforeReadingMs, afterReadingMs, isCheckpointMade: this.#isCheckpointMade };
  }

  /** Waits before the reading. */
  async before(): Promise<WaitOutcome> {
    const startedMs = performance.now();
    try {
      return await this.#wait();
    } finally {
      this.#beforeReadingMs = performance.now() - startedMs;
    }
  }

  /** Begins to wait while everything is read. */
  beginBeside(): void {
    if (this.#beside !== null) return;
    this.#besideEndsMs = performance.now() + SUMMARY_WAIT_LIMIT_MS;
    this.#beside = this.#wait().finally(() => (this.#besideEndsMs = 0));
    this.#beside.catch(() => {}); // it is awaited later, or not at all
  }

  /** How long after() takes at most; 0: what was begun beside the reading has ended. */
  get leftMs(): number {
    return Math.max(0, this.#besideEndsMs - performance.now());
  }

  /** Waits for what was begun beside the reading. */
  async after(): Promise<WaitOutcome> {
    if (this.#beside === null) return { missedBecause: null };
    const startedMs = performance.now();
    try {
      return await this.#beside;
    } finally {
      this.#afterReadingMs = performance.now() - startedMs;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#beside?.catch(() => {});
  }

  async #wait(): Promise<WaitOutcome> {
    const { mode, server, source } = this.#parts;
    const signal = AbortSignal.any([this.#context.signal, this.#ended.signal]);
    const { timeline, snapshotLsn: untilLsn } = server.position;
    let outcome: SummaryWait;
    try {
      await using session = await openSession(source.settings, { signal, applicationName: "cairn" });
      outcome = await awaitSummaries(session, { timeline, untilLsn, mode, limitMs: SUMMARY_WAIT_LIMIT_MS, signal });
    } catch (error) {
      this.#context.signal.throwIfAborted();
      if (this.#ended.signal.aborted) return { missedBecause: "it was not waited for longer" };
      if (!isOperatingError(error)) throw error;
      return { missedBecause: messageOf(error) };
    }
    this.#isCheckpointMade ||= outcome.isCheckpointMade;
    return { missedBecause: outcome.kind === "reached" ? null : outcome.reason };
  }
}
