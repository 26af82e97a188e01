// Where COPY text is cut into chunks (pure). The first chunk of a text ends at the first row end at or after the chunk size.
// From then on what a row is decides, not where it stands: rows that were added or removed would else move every border
// behind them, and no chunk behind them would be found, or resemble, what the parent has. So the chunks behind a change
// come into step again with the parent's, mostly at the next border.
// Not from the beginning: most segments give one or two chunks, and there the size alone gives steadier borders.

/** A row further from its ends than this does not count. */
const ROW_END_BYTES = 64;

const HASH_RANGE = 2 ** 32;

/** The borders of one text after another. */
export class ChunkBorders {
  /** No chunk ends before it has so many bytes. */
  minBytes: number;
  readonly #chunkSizeBytes: number;

  constructor(chunkSizeBytes: number) {
    this.#chunkSizeBytes = chunkSizeBytes;
    this.minBytes = chunkSizeBytes;
  }

  /** True when the chunk [0, end) ends with the row that begins at `rowStart`; `end` is at least minBytes. */
  endsAt(text: Uint8Array, rowStart: number, end: number): boolean {
    const size = this.#chunkSizeBytes;
    if (this.minBytes === size || end >= size * 1.5) return true;
    // A quarter of the chunk size further on the average, however long the rows are.
    return hashOfRow(text, rowStart, end) < ((end - rowStart) * HASH_RANGE) / (size / 4);
  }

  /** A chunk was cut, which the text goes on after. */
  passed(): void {
    this.minBytes = (this.#chunkSizeBytes * 7) / 8;
  }

  /** Another text begins. */
  restart(): void {
    this.minBytes = this.#chunkSizeBytes;
  }
}

/** FNV-1a of the row's ends, its bits mixed: from 0 to 2^32 - 1. */
function hashOfRow(text: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  const headEnd = Math.min(end, start + ROW_END_BYTES);
  for (let at = start; at < headEnd; at += 1) hash = Math.imul(hash ^ text[at]!, 0x01000193);
  for (let at = Math.max(headEnd, end - ROW_END_BYTES); at < end; at += 1) {
    hash = Math.imul(hash ^ text[at]!, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}
