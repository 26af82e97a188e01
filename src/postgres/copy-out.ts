// COPY … TO STDOUT as an async iterable of bytes. The payloads of all CopyData messages of one read from the socket come
// as one piece; a message may be spread over several pieces, so a row of any length needs no memory here.
// A slow consumer stops the reading from the socket.

import { OperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { CopyOperation } from "./copy-operation.ts";
import type { Message } from "./message-reader.ts";
import { BACKEND } from "./messages.ts";

/** Bytes that wait for the consumer before reading stops; one read from the socket may come on top. */
export const COPY_OUT_QUEUE_BYTES_MAX = MIB;

/** What the stream needs of its session. */
export interface CopyOutControl {
  pause(): void;
  resume(): void;
  /** Cancels the query on the server. */
  cancel(): void;
}

/** The bytes of a COPY. Leaving the loop early cancels the COPY and waits until the session is free again. */
export class CopyOutStream extends CopyOperation implements AsyncIterableIterator<Uint8Array> {
  readonly #control: CopyOutControl;
  readonly #signal: AbortSignal | undefined;
  #pieces: Uint8Array[] = [];
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isPaused = false;
  #isDiscarding = false;
  #isEnded = false;
  #wasOut = false;
  #wake: (() => void) | null = null;

  constructor(control: CopyOutControl, signal: AbortSignal | undefined) {
    super();
    this.#control = control;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#signal?.aborted) await this.#drain();
      this.#signal?.throwIfAborted();
      const piece = this.#queue.shift();
      if (piece !== undefined) {
        this.#queuedBytes -= piece.length;
        if (this.#isPaused && this.#queuedBytes < COPY_OUT_QUEUE_BYTES_MAX / 2) this.#unpause();
        return { done: false, value: piece };
      }
      if (this.#isEnded) break;
      this.#unpause();
      await this.#wait();
    }
    if (this.error !== null) throw this.error;
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#isEnded) {
      this.#control.cancel();
      await this.#drain();
    }
    return { done: true, value: undefined };
  }

  protected receiveCopy({ type, payload }: Message): boolean {
    if (type === BACKEND.copyOutResponse) this.#wasOut = true;
    else if (type !== BACKEND.copyData) return false;
    else if (!this.#isDiscarding) this.#pieces.push(payload);
    return true;
  }

  endRead(): void {
    if (this.#pieces.length === 0) return;
    const piece = this.#pieces.length === 1 ? (this.#pieces[0] as Uint8Array) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    if (this.#isDiscarding) return;
    this.#queue.push(piece);
    this.#queuedBytes += piece.length;
    if (this.#queuedBytes >= COPY_OUT_QUEUE_BYTES_MAX) this.#pause();
    this.#wake?.();
  }

  finishOperation(): void {
    this.endRead();
    if (!this.#wasOut) {
      this.error ??= new OperatingError("query_failed", "the statement given to copyOut() copied nothing out");
    }
    this.#isEnded = true;
    this.#unpause();
    this.#wake?.();
  }

  /** Drops what is queued and still to come, so that the session can go on to the end. */
  discard(): void {
    this.#isDiscarding = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#unpause();
  }

  async #drain(): Promise<void> {
    this.discard();
    while (!this.#isEnded) await this.#wait();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#control.pause();
  }

  #unpause(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#control.resume();
  }
}
