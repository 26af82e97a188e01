// Fetches the full chunks that deltas lean on. Behind a network, chunks that lie right behind a wanted one and are likely to
// be wanted too come along in the same request: as many more as were wanted before. Nothing that the storage does here
// fails a backup: what does not come, or not in time, is done without, and soon nothing more is asked for.
// Memory: READ_AHEAD_BYTES_MAX, and what is asked for (two chunks for each reader).

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatDuration, MIB } from "../../base/units.ts";
import type { ChunkReference, ReadBack, UnsealedChunk } from "../../repository/index.ts";

/** What one request asks for at most. */
const GROUP_BYTES_MAX = 4 * MIB;
const GROUP_CHUNKS_FIRST = 2;
const GROUP_CHUNKS_MAX = 8;
/** Sealed bytes that were read ahead and have not been wanted yet. */
const READ_AHEAD_BYTES_MAX = 16 * MIB;
/** Ends of chunks that were wanted last: what begins there is wanted in their order. */
const ENDS_KEPT_MAX = 256;
/** So many in a row that did not come, and no more are asked for. */
const FAILURES_IN_A_ROW_MAX = 3;
/** A base that takes no longer than this holds nobody up: the next one is fetched meanwhile. */
const SLOW_AFTER_MS = 500;

/** How long is waited. */
export interface FetchLimits {
  /** False: one chunk at a time, as there is nothing to be gained by more. */
  readonly readsAhead: boolean;
  /** For one base. */
  readonly waitMsMax: number;
  /** In all, counting the time in which one was under way for longer than half a second; null: as long as it takes. */
  readonly slowMsMax: number | null;
}

/** What became of a base that was wanted. */
export type FetchedBase =
  | { readonly kind: "loaded"; readonly plaintext: Uint8Array }
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "missed" };

const MISSED: FetchedBase = { kind: "missed" };

/** Read ahead: null when that failed. */
interface Ahead {
  readonly chunk: Promise<UnsealedChunk | null>;
  readonly sizeBytes: number;
}

export class BaseFetching {
  /** Why no more are fetched; null: they are. */
  endedBecause: string | null = null;
  /** What the storage said first of one that did not come; null: all came. */
  failure: string | null = null;
  readonly #readBack: ReadBack;
  readonly #limits: FetchLimits;
  readonly #signal: AbortSignal;
  /** What may be wanted soon, by its place. */
  readonly #expected = new Map<string, ChunkReference>();
  readonly #ahead = new Map<string, Ahead>();
  readonly #ends = new Set<string>();
  readonly #unreadable = new Set<string>();
  #groupChunks = GROUP_CHUNKS_FIRST;
  #aheadBytes = 0;
  #failureCount = 0;
  #slowMs = 0;
  #slowUntilMs = 0;

  constructor(readBack: ReadBack, limits: FetchLimits, signal: AbortSignal) {
    this.#readBack = readBack;
    this.#limits = limits;
    this.#signal = signal;
  }

  get requestCount(): number {
    return this.#readBack.transfer.requests;
  }

  get fetchedBytes(): number {
    return this.#readBack.transfer.bytesRead;
  }

  /** False: it would not come. */
  isWorthAsking({ pack }: ChunkReference): boolean {
    return this.endedBecause === null && !this.#unreadable.has(pack);
  }

  /** These may be wanted from now on. */
  expect(bases: readonly ChunkReference[]): void {
    if (!this.#limits.readsAhead) return;
    for (const base of bases) this.#expected.set(placeOf(base), base);
  }

  /** These are not wanted any more. */
  forget(bases: readonly ChunkReference[]): void {
    let isWasted = false;
    for (const base of bases) {
      this.#expected.delete(placeOf(base));
      isWasted = this.#take(base) !== null || isWasted;
    }
    if (isWasted) this.#groupChunks = Math.max(1, this.#groupChunks >> 1);
  }

  /** The plaintext of a base, in a buffer of its own. Throws only when the run is cancelled. */
  async fetch(base: ChunkReference): Promise<FetchedBase> {
    if (!this.isWorthAsking(base)) return MISSED;
    const startedMs = performance.now();
    try {
      const chunk = await this.#chunk(base);
      if (chunk === null) return MISSED;
      const plaintext = await this.#readBack.plaintextOf(chunk);
      this.#failureCount = 0;
      return { kind: "loaded", plaintext };
    } catch (error) {
      this.#signal.throwIfAborted();
      if (isDamage(error)) return { kind: "damaged", reason: messageOf(error) };
      this.#noteFailure(base, error);
      return MISSED;
    } finally {
      this.#noteTime(startedMs);
    }
  }

  /** Null: it was to come along with others, which showed that it would not come. */
  async #chunk(base: ChunkReference): Promise<UnsealedChunk | null> {
    const ahead = this.#take(base);
    this.#expected.delete(placeOf(base)); // nobody else need bring it along
    const isInOrder = ahead !== null || this.#ends.has(placeOf(base));
    this.#noteEnd(base);
    if (isInOrder) this.#groupChunks = Math.min(GROUP_CHUNKS_MAX, this.#groupChunks * 2);
    const chunk = (await ahead?.chunk) ?? null;
    return chunk !== null || !this.isWorthAsking(base) ? chunk : await this.#read(base);
  }

  async #read(base: ChunkReference): Promise<UnsealedChunk> {
    const group = this.#groupOf(base);
    const reading = this.#withinLimit(group);
    for (const [index, other] of group.entries()) {
      if (index === 0) continue;
      // Where the request fails, each is asked for by itself when it is wanted.
      const chunk = reading.then((chunks) => chunks[index]!, () => null); // prettier-ignore
      this.#ahead.set(placeOf(other), { chunk, sizeBytes: other.lengthBytes });
      this.#aheadBytes += other.lengthBytes;
    }
    try {
      return (await reading)[0]!;
    } catch (error) {
      // One that is damaged must not hide the others.
      if (group.length === 1 || !isDamage(error)) throw error;
      return (await this.#withinLimit([base]))[0]!;
    }
  }

  /** What is asked for in one request: neighbours in the order of the pack. */
  #groupOf(base: ChunkReference): readonly ChunkReference[] {
    const group = [base];
    if (this.#aheadBytes >= READ_AHEAD_BYTES_MAX) return group;
    let last = base;
    while (group.length < this.#groupChunks) {
      const next = this.#expected.get(endOf(last));
      if (next === undefined || this.#ahead.has(placeOf(next))) break;
      if (next.offset + next.lengthBytes - base.offset > GROUP_BYTES_MAX) break;
      group.push(next);
      last = next;
    }
    return group;
  }

  /** Raced: not all that reading does hears its signal. */
  async #withinLimit(group: readonly ChunkReference[]): Promise<readonly UnsealedChunk[]> {
    const limit = AbortSignal.timeout(this.#limits.waitMsMax);
    const signal = AbortSignal.any([this.#signal, limit]);
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const end = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", end, { once: true });
    ended.catch(() => undefined);
    try {
      return await Promise.race([this.#readBack.read(group, signal), ended]);
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  #take(base: ChunkReference): Ahead | null {
    const place = placeOf(base);
    const ahead = this.#ahead.get(place);
    if (ahead === undefined) return null;
    this.#ahead.delete(place);
    this.#aheadBytes -= ahead.sizeBytes;
    return ahead;
  }

  #noteEnd(base: ChunkReference): void {
    this.#ends.add(endOf(base));
    if (this.#ends.size > ENDS_KEPT_MAX) this.#ends.delete(this.#ends.values().next().value!);
  }

  #noteFailure({ pack }: ChunkReference, error: unknown): void {
    if (isOperatingError(error)) {
      if (!error.retryable) this.#unreadable.add(pack);
      this.failure ??= messageOf(error);
    } else if (isLate(error)) {
      this.failure ??= `one did not come within ${formatDuration(this.#limits.waitMsMax)}`;
    } else {
      throw error;
    }
    this.#failureCount += 1;
    if (this.#failureCount >= FAILURES_IN_A_ROW_MAX) this.endedBecause ??= this.failure;
  }

  /** Adds up the time in which somebody may have stood still; those under way at once count once. */
  #noteTime(startedMs: number): void {
    const { slowMsMax } = this.#limits;
    const nowMs = performance.now();
    const fromMs = Math.max(startedMs + SLOW_AFTER_MS, this.#slowUntilMs);
    if (nowMs <= fromMs) return;
    this.#slowMs += nowMs - fromMs;
    this.#slowUntilMs = nowMs;
    if (slowMsMax === null || this.#slowMs < slowMsMax) return;
    const spent = formatDuration(this.#slowMs);
    this.endedBecause ??= `reading back is slow, it took ${spent} (--deltas always goes on all the same)`;
  }
}

function isLate(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}

function isDamage(error: unknown): boolean {
  return isOperatingError(error, "corrupt") || isOperatingError(error, "not_found");
}

function placeOf({ offset, pack }: ChunkReference): string {
  return `${pack}#${offset}`;
}

function endOf({ lengthBytes, offset, pack }: ChunkReference): string {
  return `${pack}#${offset + lengthBytes}`;
}
