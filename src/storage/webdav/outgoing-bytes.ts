// The bytes of one object between who writes it and the upload that sends it. What was sent is kept, so that a broken upload
// can be sent again, as long as all writers together keep no more than a budget; beyond that it is let go, and an upload
// that breaks then cannot be mended. Unsent bytes are bounded by UNSENT_BYTES_MAX: that is the back-pressure.

import { MIB } from "../../base/units.ts";

const UNSENT_BYTES_MAX = 8 * MIB;
const IDLE_INTERVAL_MS = 100;

/** How many bytes all writers of a storage may keep to send them again. */
export class KeepingBudget {
  #leftBytes: number;

  constructor(bytes: number) {
    this.#leftBytes = bytes;
  }

  take(count: number): boolean {
    if (count > this.#leftBytes) return false;
    this.#leftBytes -= count;
    return true;
  }

  give(count: number): void {
    this.#leftBytes += count;
  }
}

/** See the head of this file. One upload reads at a time. */
export class OutgoingBytes {
  readonly #budget: KeepingBudget;
  #pieces: (Uint8Array | null)[] = [];
  #keptBytes = 0;
  #totalBytes = 0;
  #sentBytes = 0;
  #isKept = true;
  /** True once some bytes are gone for good. */
  #isCut = false;
  #isEnded = false;
  /** True while an upload waits for the whole object before it sends any. */
  #isHeld = false;
  #readerNumber = 0;
  #changed = Promise.withResolvers<void>();

  constructor(budget: KeepingBudget) {
    this.#budget = budget;
  }

  /** True when all bytes from the first on can be sent. */
  get isWhole(): boolean {
    return !this.#isCut;
  }

  /** How many bytes there are; null until the last one is known. */
  get lengthBytes(): number | null {
    return this.#isEnded ? this.#totalBytes : null;
  }

  push(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#totalBytes += bytes.length;
    if (this.#isKept && this.#budget.take(bytes.length)) this.#keptBytes += bytes.length;
    else this.#letGo();
    this.#change();
  }

  end(): void {
    this.#isEnded = true;
    this.#change();
  }

  /** Drops everything. */
  clear(): void {
    this.#letGo();
    this.#pieces = [];
  }

  /** Resolves when more may be pushed. */
  async room(signal: AbortSignal): Promise<void> {
    while (!this.#isHeld && this.#totalBytes - this.#sentBytes > UNSENT_BYTES_MAX) await this.#next(signal);
  }

  /** Resolves when the object is complete, or may not be kept any longer until it is. Calls `idle` while it waits. */
  async complete(signal: AbortSignal, idle: () => void): Promise<void> {
    this.#isHeld = true;
    this.#change();
    try {
      while (!this.#isEnded && this.#isKept) await this.#next(signal, idle);
    } finally {
      this.#isHeld = false;
    }
  }

  /** All bytes from the first on, as they come, to the end of the object. Calls `idle` while none come. */
  async *read(signal: AbortSignal, idle: () => void): AsyncGenerator<Uint8Array> {
    this.#readerNumber += 1;
    this.#sentBytes = 0;
    const number = this.#readerNumber;
    for (let index = 0; ; index += 1) {
      while (index >= this.#pieces.length && !this.#isEnded) await this.#next(signal, idle);
      const piece = this.#pieces[index];
      // An upload that was given up must not count for the next one.
      if (piece === undefined || piece === null || number !== this.#readerNumber) return;
      yield piece;
      if (number !== this.#readerNumber) return;
      this.#sentBytes += piece.length;
      if (!this.#isKept) this.#cut(index);
      this.#change();
    }
  }

  #letGo(): void {
    if (!this.#isKept) return;
    this.#isKept = false;
    this.#budget.give(this.#keptBytes);
    this.#keptBytes = 0;
    let sentBytes = 0;
    for (const [index, piece] of this.#pieces.entries()) {
      sentBytes += piece?.length ?? 0;
      if (sentBytes > this.#sentBytes) break;
      this.#cut(index);
    }
  }

  #cut(index: number): void {
    this.#pieces[index] = null;
    this.#isCut = true;
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async #next(signal: AbortSignal, idle?: () => void): Promise<void> {
    signal.throwIfAborted();
    const timer = idle === undefined ? undefined : setInterval(idle, IDLE_INTERVAL_MS);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await Promise.race([this.#changed.promise, aborted]);
    } finally {
      clearInterval(timer);
      signal.removeEventListener("abort", abort);
    }
  }
}
