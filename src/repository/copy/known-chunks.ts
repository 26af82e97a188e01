// What the target has already of the data that is being copied: the chunks of the same segment in the parent, by the ids
// of the target and, where it is known, of the source. Where ids differ, the source's are known when the parent is itself
// a copy of a restore point that the source still has (its twin): both lists have the same chunks in the same order.
// Limits: of one segment, and of all large objects, at most KNOWN_CHUNKS_MAX chunks are kept; what is beyond is stored anew.

import type { ChunkReference, LargeObjectRecord, SegmentRecord } from "../lists.ts";
import type { LargeObjectSet, RelationRecord } from "../manifest.ts";
import type { RestorePoint } from "../restore-point.ts";

const KNOWN_CHUNKS_MAX = 100_000;

/** Chunks of the target by ids, as chunkKey() makes them. */
export interface Known {
  readonly bySourceId: Map<string, ChunkReference>;
  readonly byTargetId: Map<string, ChunkReference>;
}

/** The key of a chunk id in Known. */
export function chunkKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

/** The source's chunks and the target's belong together; null: the source's id is not known. */
interface Pair {
  readonly firstBlock: number;
  readonly sourceId: Uint8Array | null;
  readonly reference: ChunkReference;
}

interface Placed {
  readonly firstBlock: number;
  readonly chunk: ChunkReference;
}

export interface KnownChunksParts {
  /** Of the target, for comparison; null: there is none. */
  readonly parent: RestorePoint | null;
  /** What the parent is a copy of, in the source; null: not known, or not needed because ids are equal. */
  readonly twin: RestorePoint | null;
  readonly areIdsEqual: boolean;
}

/** See the head of this file. */
export class KnownChunks {
  readonly #parts: KnownChunksParts;
  #largeObjects: Promise<Known> | null = null;

  constructor(parts: KnownChunksParts) {
    this.#parts = parts;
  }

  /** To be asked for the segments of a relation in their order. */
  segmentsOf(relation: RelationRecord): SegmentCursor {
    const { parent } = this.#parts;
    const { oid, namespace, name, segmentBlocks } = relation;
    const record = parent?.findRelation({ oid }) ?? parent?.findRelation({ namespace, name }) ?? null;
    if (parent === null || record === null || record.segmentBlocks !== segmentBlocks) return new SegmentCursor(none());
    const twinRecord = this.#parts.twin?.findRelation({ dumpId: record.dumpId }) ?? null;
    const twinChunks = twinRecord === null ? null : placedSegments(this.#parts.twin!.segments(twinRecord));
    return new SegmentCursor(this.#pairs(placedSegments(parent.segments(record)), twinChunks));
  }

  /** Those of all large objects. */
  async largeObjects(): Promise<Known> {
    this.#largeObjects ??= this.#readLargeObjects();
    return await this.#largeObjects;
  }

  async #readLargeObjects(): Promise<Known> {
    const { parent, twin } = this.#parts;
    const known = nothingKnown();
    for (const set of parent?.manifest.largeObjects ?? []) {
      const twinSet = twin?.manifest.largeObjects.find(({ dumpId }) => dumpId === set.dumpId);
      const twinChunks = twinSet === undefined ? null : placedObjects(twin!, twinSet);
      for await (const pair of this.#pairs(placedObjects(parent!, set), twinChunks)) {
        if (!addPair(known, pair)) return known;
      }
    }
    return known;
  }

  async *#pairs(chunks: AsyncGenerator<Placed>, twinChunks: AsyncGenerator<Placed> | null): AsyncGenerator<Pair> {
    let twin = twinChunks;
    try {
      for await (const { chunk, firstBlock } of chunks) {
        let sourceId = this.#parts.areIdsEqual ? chunk.id : null;
        if (twin !== null) {
          const next = await twin.next();
          const isTwin =
            next.done !== true &&
            next.value.firstBlock === firstBlock &&
            next.value.chunk.rawLengthBytes === chunk.rawLengthBytes;
          if (isTwin) sourceId = next.value.chunk.id;
          // From here on nobody knows which belongs to which.
          else twin = null;
        }
        yield { firstBlock, sourceId, reference: chunk };
      }
    } finally {
      await twinChunks?.return(undefined);
    }
  }
}

/** Goes through the parent's segments alongside the source's. Calls must not overlap. */
export class SegmentCursor {
  readonly #pairs: AsyncGenerator<Pair>;
  #pending: Pair | null = null;
  #firstBlock = -1;
  #known: Known = nothingKnown();

  constructor(pairs: AsyncGenerator<Pair>) {
    this.#pairs = pairs;
  }

  /** What is known of the segment that begins at that block. */
  async at(firstBlock: number): Promise<Known> {
    if (firstBlock === this.#firstBlock) return this.#known;
    this.#firstBlock = firstBlock;
    this.#known = nothingKnown();
    for (let pair = await this.#peek(); pair !== null && pair.firstBlock <= firstBlock; pair = await this.#peek()) {
      this.#pending = null;
      if (pair.firstBlock === firstBlock && !addPair(this.#known, pair)) break;
    }
    return this.#known;
  }

  async close(): Promise<void> {
    await this.#pairs.return(undefined);
  }

  async #peek(): Promise<Pair | null> {
    if (this.#pending === null) {
      const next = await this.#pairs.next();
      this.#pending = next.done === true ? null : next.value;
    }
    return this.#pending;
  }
}

function nothingKnown(): Known {
  return { bySourceId: new Map(), byTargetId: new Map() };
}

/** False when there is no room for more. */
function addPair({ bySourceId, byTargetId }: Known, { reference, sourceId }: Pair): boolean {
  if (sourceId !== null) addPreferred(bySourceId, sourceId, reference);
  addPreferred(byTargetId, reference.id, reference);
  // What a delta of the parent leans on, the next one may lean on too.
  const { base } = reference;
  if (base !== null) addPreferred(byTargetId, base.id, base);
  return byTargetId.size < KNOWN_CHUNKS_MAX;
}

/** A full chunk stays: a delta of the same text needs one more. */
function addPreferred(chunks: Map<string, ChunkReference>, id: Uint8Array, reference: ChunkReference): void {
  const key = chunkKey(id);
  const old = chunks.get(key);
  if (old === undefined || old.base !== null) chunks.set(key, reference);
}

async function* placedSegments(segments: AsyncIterable<SegmentRecord>): AsyncGenerator<Placed> {
  for await (const { chunks, firstBlock } of segments) for (const chunk of chunks) yield { firstBlock, chunk };
}

async function* placedObjects(restorePoint: RestorePoint, set: LargeObjectSet): AsyncGenerator<Placed> {
  for await (const record of restorePoint.largeObjects(set)) {
    for (const chunk of chunksOf(record)) yield { firstBlock: 0, chunk };
  }
}

/** The chunks of a record of large objects. */
export function chunksOf(record: LargeObjectRecord): readonly ChunkReference[] {
  return record.kind === "shared" ? [record.chunk] : record.chunks;
}

async function* none(): AsyncGenerator<Pair> {
  // The parent has nothing to compare with.
}
