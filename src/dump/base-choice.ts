// Which of the parent's chunks a chunk that differs most likely has its text from (pure). Both texts are laid beside one
// another: a chunk that the parent has too says where one stands in the other, until then rows are taken to have kept their
// places. The chunk with the longest stretch in common is chosen.

import type { OfferedChunk } from "./data-sink.ts";

/** After so many refusals in a row, no more are waited for than this allows. */
const PASSED_OVER_MAX = 15;

/** Follows one segment's chunks in their order. */
export class BaseChoice {
  readonly #offered: readonly OfferedChunk[];
  readonly #starts: readonly number[];
  readonly #indexesById: ReadonlyMap<string, number>;
  /** Where the next chunk begins in the parent's text, as far as is known. */
  #position = 0;

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
    this.#position = (index === undefined ? this.#position : this.#starts[index]!) + lengthBytes;
  }

  /** The index of the offered chunk to lean on; null: there is none. */
  choose(lengthBytes: number): number | null {
    const start = this.#position;
    const end = start + lengthBytes;
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
    return best;
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
