// Whether a chunk of the source is in the target already: in a pack that both have, where they were made alike, else
// among the chunks of the parent.

import type { ChunkReference } from "../lists.ts";
import type { PackItemPlace } from "../moved.ts";
import type { ReusablePacks } from "../reuse.ts";
import type { Run } from "../run.ts";
import { chunkKey } from "./known-chunks.ts";
import type { Known } from "./known-chunks.ts";

/** See the head of this file. */
export class ChunkFinder {
  readonly #run: Run;
  /** Packs of the source; null: the repositories were not made alike. */
  readonly #sourcePacks: ReusablePacks | null;

  constructor(run: Run, sourcePacks: ReusablePacks | null) {
    this.#run = run;
    this.#sourcePacks = sourcePacks;
  }

  /** What the target's list may say for a chunk of the source; null: it is not there. */
  find(chunk: ChunkReference, known: Known): ChunkReference | null {
    return this.#inTarget(chunk) ?? this.#taken(chunk, known.bySourceId.get(chunkKey(chunk.id)));
  }

  /** The same by the id that it has in the target, for who has opened it. */
  findOpened(chunk: ChunkReference, targetId: Uint8Array, known: Known): ChunkReference | null {
    return this.#taken(chunk, known.byTargetId.get(chunkKey(targetId)));
  }

  #taken(
    { continues, kind, rawLengthBytes, rowCount }: ChunkReference,
    found: ChunkReference | undefined,
  ): ChunkReference | null {
    const isRight = found?.kind === kind && found.rawLengthBytes === rawLengthBytes && this.#run.canReuse(found);
    return isRight ? { ...found, rowCount, continues } : null;
  }

  /** A delta is there when its base is there too. */
  #inTarget(chunk: ChunkReference): ChunkReference | null {
    const place = this.#placeInTarget(chunk);
    if (place === null) return null;
    const base = chunk.base === null ? null : this.#inTarget(chunk.base);
    if (chunk.base !== null && base === null) return null;
    return { ...chunk, pack: place.pack, itemNumber: place.itemNumber, offset: place.offset, base };
  }

  #placeInTarget(chunk: ChunkReference): PackItemPlace | null {
    if (this.#sourcePacks === null) return null;
    for (const place of [chunk, this.#sourcePacks.currentPlace(chunk)]) {
      const there = this.#run.reusable.currentPlace(place);
      if (this.#run.canReuse({ ...there, base: null })) return there;
    }
    return null;
  }
}
