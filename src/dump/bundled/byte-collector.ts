// Collects many small writes into one growing buffer with a bound.

const FIRST_SIZE_BYTES = 64 * 1024;

/** Bytes appended so far, at most `sizeBytesMax` of them. */
export class ByteCollector {
  readonly #sizeBytesMax: number;
  #buffer = new Uint8Array(0);
  #length = 0;

  constructor(sizeBytesMax: number) {
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** Copies the bytes to the end; false, with nothing copied, when the bound would be passed. */
  append(bytes: Uint8Array): boolean {
    const needed = this.#length + bytes.length;
    if (needed > this.#sizeBytesMax) return false;
    if (needed > this.#buffer.length) this.#grow(needed);
    this.#buffer.set(bytes, this.#length);
    this.#length = needed;
    return true;
  }

  /** All bytes in a buffer of exactly their size; the collector is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#buffer.buffer.transfer(this.#length));
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    return whole;
  }

  #grow(needed: number): void {
    const doubled = Math.max(FIRST_SIZE_BYTES, this.#buffer.length * 2, needed);
    this.#buffer = new Uint8Array(this.#buffer.buffer.transfer(Math.min(doubled, this.#sizeBytesMax)));
  }
}
