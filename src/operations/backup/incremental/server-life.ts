// One session with the server for all that a run finds out for incremental reading: open from before the snapshot's LSN is
// read until the seal is found. A crash of the server ends all of its sessions, so that this one lives on proves that the seal is of
// the history that the snapshot saw. No transaction stays open in it. When it is lost the run goes on, and is not sealed.
// Source: docs/formats/incremental.md.

import { isOperatingError, messageOf } from "../../../base/errors.ts";
import {
  isCheckpointFar,
  makeCheckpoint,
  readCheckpoint,
  readServerSupport,
  SeenRelations,
  withinLimit,
  type Answer,
  type CheckpointRecord,
} from "../../../incremental/index.ts";
import { openSession, type ConnectionSettings, type Session } from "../../../postgres/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import type { ReadingSettings } from "./types.ts";

/** How often an idle session is asked for a sign of life, so that nothing in between takes it for forgotten. */
const SIGN_INTERVAL_MS = 30_000;

const NOT_SEEN: Answer<never> = { kind: "unknown", reason: "the server was not asked before" };

/** How long a checkpoint before the snapshot is waited for; the server then goes on with it by itself. */
const CHECKPOINT_LIMIT_MS = 60_000;

/** See the head of this file. Dispose of it when the seal was found. */
export class ServerLife implements AsyncDisposable {
  readonly #signal: AbortSignal;
  /** Ends when the session is free: it is asked one thing at a time. */
  #turn: Promise<void> = Promise.resolve();
  #seen: Promise<Answer<SeenRelations>> = Promise.resolve(NOT_SEEN);
  #session: Session | null = null;
  #endedBecause = "";
  #noted: Answer<readonly CheckpointRecord[]> = { kind: "unknown", reason: "the server was not asked" };
  #askedCount = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * To be begun before the snapshot is taken. Has the server make a checkpoint where it may be asked for one and its last is some way
   * behind. Throws only when the operation is cancelled.
   */
  static async begin(
    { signal }: OperationContext,
    { settings }: SettledSource,
    { checkpoint }: Pick<ReadingSettings, "checkpoint">,
  ): Promise<ServerLife> {
    const life = new ServerLife(signal);
    try {
      life.#session = await openAsking(settings, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isOperatingError(error)) throw error;
      life.#endedBecause = messageOf(error);
    }
    try {
      life.#noted = await life.ask(async (session) => {
        const support = await prepare(session, signal);
        if (support.kind === "unknown") return support;
        const last = await readCheckpoint(session, signal);
        if (last.kind === "unknown") return last;
        const isFar = checkpoint === "now" && (await isCheckpointFar(session, signal));
        if (!isFar || !(await tryCheckpoint(settings, signal))) return { kind: "known", value: [last.value] };
        const made = await readCheckpoint(session, signal);
        return made.kind === "unknown" ? made : { kind: "known", value: [last.value, made.value] };
      });
    } catch (error) {
      await life[Symbol.asyncDispose]();
      throw error;
    }
    if (life.#noted.kind === "unknown") await life[Symbol.asyncDispose]();
    else life.#timer = setInterval(() => life.#giveSign(), SIGN_INTERVAL_MS).unref();
    return life;
  }

  /**
   * The last checkpoints before the snapshot, one or two, the newest last, where the server keeps WAL summaries. The one before that
   * which was asked for may still be the base: where a transaction that was open then is open at the snapshot.
   */
  get noted(): Answer<readonly CheckpointRecord[]> {
    return this.#noted;
  }

  /**
   * Begins to read how the relations are stored that the holder has locked: while pg_dump is at work still, and nothing else is.
   * What the last call finds counts.
   */
  seeLocked(holderProcessId: number): void {
    this.#seen = this.ask((session) => SeenRelations.ofLocked(session, holderProcessId, this.#signal));
    this.#seen.catch(() => {}); // thrown where it is awaited
  }

  /** What seeLocked() found, given once; where it found nothing, or was not called, all of it is asked for when it is needed. */
  async takeSeen(): Promise<Answer<SeenRelations>> {
    const seen = this.#seen;
    this.#seen = Promise.resolve(NOT_SEEN);
    return await seen;
  }

  /** What `work` gives with the session, or why it gives nothing. One after another; throws only when the operation is cancelled. */
  async ask<T>(work: (session: Session) => Promise<Answer<T>>): Promise<Answer<T>> {
    const { promise: turn, resolve: endTurn } = Promise.withResolvers<void>();
    const before = this.#turn;
    this.#turn = turn;
    this.#askedCount += 1;
    try {
      await before;
      const session = this.#session;
      if (session === null) return { kind: "unknown", reason: this.#endedBecause };
      return await work(session);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isOperatingError(error)) throw error;
      this.#endIfLost(error);
      return { kind: "unknown", reason: this.#session === null ? this.#endedBecause : messageOf(error) };
    } finally {
      this.#askedCount -= 1;
      endTurn();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const session = this.#session;
    this.#session = null;
    this.#endedBecause ||= "the session was closed";
    await session?.close();
  }

  #giveSign(): void {
    if (this.#session === null || this.#askedCount > 0) return;
    const sign = this.ask(async (session) => {
      await withinLimit(session, () => session.query("SELECT 1"));
      return { kind: "known", value: null };
    });
    sign.catch(() => {}); // the operation is cancelled: whoever asks next is told
  }

  /** A session that was lost, or that a refusal left in a transaction, is of no more use. */
  #endIfLost(error: unknown): void {
    const session = this.#session;
    if (session === null || (session.isConnected && session.transactionStatus === "idle")) return;
    this.#endedBecause = session.isConnected
      ? messageOf(error)
      : `the session that was open since before the snapshot was lost, the server may have crashed: ${messageOf(error)}`;
    this.#session = null;
    session.destroy();
  }
}

/** A session by which the server is asked about incremental reading. */
export async function openAsking(settings: ConnectionSettings, signal: AbortSignal): Promise<Session> {
  return await openSession(settings, { signal, applicationName: "cairn incremental" });
}

async function prepare(session: Session, signal: AbortSignal): Promise<Answer<null>> {
  const support = await readServerSupport(session, signal);
  if (support.kind === "unsupported") return { kind: "unknown", reason: support.reason };
  await withinLimit(session, () => session.query("SET idle_session_timeout TO 0", { signal }));
  return { kind: "known", value: null };
}

/** On another session. False when it was not made, and be it that the role may not: the run goes on with the last one. */
async function tryCheckpoint(settings: ConnectionSettings, signal: AbortSignal): Promise<boolean> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(CHECKPOINT_LIMIT_MS)]);
  try {
    await using session = await openSession(settings, { signal: limited, applicationName: "cairn" });
    await makeCheckpoint(session, limited);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error) && !limited.aborted) throw error;
    return false;
  }
}
