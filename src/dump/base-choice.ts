// Which of the parent's chunks a chunk that differs most likely has its text from (pure). Both texts are laid beside one
// another, and the chunk with the longest stretch in common is chosen. Where one text stands in the other is known from a
// chunk that the parent has too, and from where a chunk's first row was found in what it leans on; behind these, rows are
// taken to have kept their places.

import type { OfferedChunk } from "./data-sink.ts";

/** After so many refusals in a row, no more are waited for than this allows. */
const PASSED_OVER_MAX = 15;

/** A chosen chunk, and what was thought when it was chosen. */
export interface ChosenBase {
  readonly index: number;
  /** Where the new chunk was taken to begin in the parent's text. */
  readonly start: number;
  readonly drift: number;
  /** Chunks before it. */
  readonly number: number;
}

/** Follows one segment's chunks in their order. */
export class BaseChoice {
  readonly #offered: readonly OfferedChunk[];
  readonly #starts: readonly number[];
  readonly #indexesById: ReadonlyMap<string, number>;
  /** Where the next chunk begins in the parent's text, as far as is known. */
  #position = 0;
  /** By how much this was put right so far. What was chosen before a correction must not bring the same one again. */
  #drift = 0;
  #chunkCount = 0;
  /** The last chunk that put anything right; what earlier ones tell afterwards is older. */
  #correctedBy = -1;

  constructor(offered: readonly OfferedChunk[]) {
    this.#offered = offered;
    const starts: number[] = [];
    let start = 0;
    for (const { rawLengthBytes } of offered) {
      starts.push(start);
      start += rawLengthBytes;
    }
    this.#starts = starts;
    // Of equal chunks the first counts.
    this.#indexesById = new Map(offered.map(({ id }, index) => [keyOf(id), index] as const).toReversed());
  }

  /** The parent has this chunk too. */
  passEqual(id: Uint8Array, lengthBytes: number): void {
    const index = this.#indexesById.get(keyOf(id));
    const number = this.#chunkCount++;
    if (index !== undefined) this.#correct(number, this.#starts[index]! - this.#position);
    this.#position += lengthBytes;
  }

  /** The new chunk's text begins at that offset of the text of what it leans on. */
  foundAt({ drift, index, number, start }: ChosenBase, offset: number): void {
    this.#correct(number, this.#starts[index]! + offset - start - (this.#drift - drift));
  }

  /** The offered chunk to lean on; null: there is none. */
  choose(lengthBytes: number): ChosenBase | null {
    const start = this.#position;
    const end = start + lengthBytes;
    const number = this.#chunkCount++;
    this.#position = end;
    let best: number | null = null;
    let bestBytes = 0;
    for (const [index, offered] of this.#offered.entries()) {
      const offeredStart = this.#starts[index]!;
      const commonBytes = Math.min(end, offeredStart + offered.rawLengthBytes) - Math.max(start, offeredStart);
      if (offered.base === null || commonBytes <= bestBytes) continue;
      best = index;
      bestBytes = commonBytes;
    }
    return best === null ? null : { index: best, start, drift: this.#drift, number };
  }

  #correct(number: number, lengthBytes: number): void {
    if (number < this.#correctedBy) return;
    this.#correctedBy = number;
    this.#position += lengthBytes;
    this.#drift += lengthBytes;
  }
}

/**
 * Says whether a delta is tried at all. Where nearly all was changed, each trial is for nothing: after one that was
 * refused, one chunk is passed over, after the next three, then seven, then PASSED_OVER_MAX; one that pays ends that.
 */
export class DeltaTrials {
  #table: string | null = null;
  #refusedCount = 0;
  #toPassOver = 0;

  /** Asked for each chunk; another table begins anew. */
  isWanted(table: string | null): boolean {
    if (table !== this.#table) {
      this.#table = table;
      this.#refusedCount = 0;
      this.#toPassOver = 0;
    }
    if (this.#toPassOver === 0) return true;
    this.#toPassOver -= 1;
    return false;
  }

  /** What became of a trial. */
  tried(pays: boolean): void {
    this.#refusedCount = pays ? 0 : this.#refusedCount + 1;
    this.#toPassOver = pays ? 0 : Math.min(2 ** this.#refusedCount - 1, PASSED_OVER_MAX);
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}
