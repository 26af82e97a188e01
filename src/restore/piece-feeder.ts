// Hands the pieces of one table to the connections that load it: read ahead while others are being sent, in bounded
// memory, each piece to one connection, and a row that runs over several pieces all to the same one.

import type { DataPiece } from "../archive/index.ts";

/** Bytes of pieces held or being fetched for one table, at most (a single larger piece is let through). */
export const READ_AHEAD_BYTES_MAX = 24 * 1024 * 1024;

/** Pieces held or being fetched for one table, at most. */
export const READ_AHEAD_PIECES_MAX = 8;

/** Bytes waiting from which on it pays that another connection joins. */
export const JOIN_BYTES_MIN = 2 * 1024 * 1024;

interface Waiting {
  readonly piece: DataPiece;
  readonly bytes: Promise<Uint8Array>;
}

/** A source of pieces for several takers. */
export class PieceFeeder {
  readonly #iterator: AsyncIterator<DataPiece>;
  readonly #abort = new AbortController();
  readonly #queue: Waiting[] = [];
  readonly #onWork: () => void;
  #queuedBytes = 0;
  #isEnded = false;
  #isPulling = false;
  #failure: { readonly error: unknown } | null = null;
  #chainTaker: object | null = null;
  #changed = Promise.withResolvers<void>();
  #expectedRows: number | null = 0;

  /** `onWork` is called whenever a piece has been added. */
  constructor(open: (signal: AbortSignal) => AsyncIterable<DataPiece>, onWork: () => void = () => {}) {
    this.#onWork = onWork;
    this.#iterator = open(this.#abort.signal)[Symbol.asyncIterator]();
  }

  /** Rows of all pieces given out so far; null when the source does not know. */
  get expectedRows(): number | null {
    return this.#expectedRows;
  }

  /** True when nothing is left to be taken. */
  get isDrained(): boolean {
    return this.#failure !== null || (this.#isEnded && this.#queue.length === 0);
  }

  /** True when there is work for another connection. */
  get hasWorkForAnother(): boolean {
    return this.#failure === null && this.#queue.length >= 2 && this.#queuedBytes >= JOIN_BYTES_MIN;
  }

  /** The next piece for a taker, in the order of the table; null at the end. Throws what the source threw. */
  async take(taker: object): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const isMine = this.#chainTaker === null || this.#chainTaker === taker;
      const next = isMine ? this.#queue.shift() : undefined;
      if (next !== undefined) return await this.#giveOut(next, taker);
      if (isMine && this.#isEnded) return null;
      if (!isMine && this.#isEnded && this.#queue.length === 0) return null;
      void this.#pull();
      await this.#changed.promise;
    }
  }

  /** Makes every further take() throw this. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#abort.abort(error);
    this.#wake();
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    this.#abort.abort(new Error("no more pieces are wanted"));
    this.#queue.length = 0;
    // A source in the middle of a read ends by the signal.
    if (!this.#isEnded && !this.#isPulling) await this.#iterator.return?.();
  }

  async #giveOut(next: Waiting, taker: object): Promise<Uint8Array> {
    this.#chainTaker = next.piece.continues ? taker : null;
    this.#expectedRows =
      this.#expectedRows === null || next.piece.rowCount === null ? null : this.#expectedRows + next.piece.rowCount;
    this.#wake();
    try {
      return await next.bytes;
    } catch (error) {
      this.fail(error);
      throw error;
    } finally {
      this.#queuedBytes -= next.piece.rawLengthBytes;
      void this.#pull();
    }
  }

  async #pull(): Promise<void> {
    if (this.#isPulling) return;
    this.#isPulling = true;
    try {
      while (!this.#isEnded && this.#failure === null && this.#hasRoom()) {
        const { done, value } = await this.#iterator.next();
        if (done === true) {
          this.#isEnded = true;
        } else {
          this.#queuedBytes += value.rawLengthBytes;
          const bytes = value.load(this.#abort.signal);
          // Whoever takes the piece gets the error; until then it is nobody's.
          bytes.catch(() => {});
          this.#queue.push({ piece: value, bytes });
          this.#onWork();
        }
        this.#wake();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.#isPulling = false;
    }
  }

  #hasRoom(): boolean {
    if (this.#queue.length === 0) return true;
    return this.#queue.length < READ_AHEAD_PIECES_MAX && this.#queuedBytes < READ_AHEAD_BYTES_MAX;
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}
