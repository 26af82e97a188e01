// Cuts COPY text that comes without message boundaries into the same chunks as CopyAssembler: at row ends as
// chunk-borders.ts says; a row that would make a chunk larger than twice the chunk size is split at exact chunk sizes, and a
// chunk that has its size already ends before it. In COPY text a newline byte is always a row end, in every server encoding.

import { ChunkBorders } from "./chunk-borders.ts";
import type { AssemblerEvents } from "./copy-assembler.ts";

const NEWLINE = 0x0a;

export class TextCutter {
  readonly #chunkSizeBytes: number;
  readonly #chunk: AssemblerEvents["chunk"];
  readonly #buffer: Buffer;
  #length = 0;
  /** Rows in the buffer up to #scanned, and where the last one of them ends. */
  #rowCount = 0;
  #scanned = 0;
  #splitting = false;
  readonly #borders: ChunkBorders;

  constructor(chunkSizeBytes: number, chunk: AssemblerEvents["chunk"]) {
    this.#chunkSizeBytes = chunkSizeBytes;
    this.#chunk = chunk;
    this.#borders = new ChunkBorders(chunkSizeBytes);
    this.#buffer = Buffer.allocUnsafeSlow(2 * chunkSizeBytes);
  }

  push(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      const taken = Math.min(rest.length, this.#buffer.length - this.#length);
      this.#buffer.set(rest.subarray(0, taken), this.#length);
      this.#length += taken;
      rest = rest.subarray(taken);
      while (this.#cutOne());
    }
  }

  finish(): void {
    if (this.#length > 0) this.#cut(this.#length, false);
  }

  /** Looks on from where it stopped; true when a chunk was cut. */
  #cutOne(): boolean {
    const text = this.#buffer.subarray(0, this.#length);
    while (true) {
      const newline = text.indexOf(NEWLINE, this.#scanned);
      const end = newline + 1;
      if (this.#splitting && (newline < 0 || end > this.#chunkSizeBytes) && this.#length >= this.#chunkSizeBytes) {
        this.#cut(this.#chunkSizeBytes, true);
        return true;
      }
      if (newline < 0) break;
      this.#splitting = false;
      this.#rowCount += 1;
      const rowStart = this.#scanned;
      this.#scanned = end;
      if (end >= this.#borders.minBytes && this.#borders.endsAt(text, rowStart, end)) {
        this.#cut(end, false);
        return true;
      }
    }
    if (this.#length < this.#buffer.length) return false;
    // A full buffer that ends within a row, which is split: from where the chunk is large enough without it.
    this.#splitting = true;
    const isEnough = this.#scanned >= this.#chunkSizeBytes;
    this.#cut(isEnough ? this.#scanned : this.#chunkSizeBytes, !isEnough);
    return true;
  }

  #cut(end: number, continues: boolean): void {
    this.#chunk(this.#buffer.subarray(0, end), this.#rowCount, continues);
    this.#borders.passed();
    this.#buffer.copyWithin(0, end, this.#length);
    this.#length -= end;
    this.#scanned = 0;
    this.#rowCount = 0;
  }
}
