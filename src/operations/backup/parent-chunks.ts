// What the parent restore point has of the same segment, so that unchanged chunks are taken over instead of stored.
// The parent's lists are read alongside the plan, in bounded memory; nothing but the same segment is searched.

import type { LargeObjectBucket, TablePlan } from "../../dump/index.ts";
import type { ChunkReference, RelationRecord, RestorePoint, Run, SegmentRecord } from "../../repository/index.ts";

/** Chunks of large objects that are kept in memory for comparison; beyond that they are stored anew. */
const LARGE_OBJECT_CHUNKS_MAX = 100_000;

const BUCKET_BITS = 10;

/** Chunks by the text of their ids. */
export type KnownChunks = ReadonlyMap<string, ChunkReference>;

/** The key of a chunk id in KnownChunks. */
export function chunkKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

/** The ids of known chunks, one after another. */
export function idsOf(chunks: KnownChunks): Uint8Array | null {
  if (chunks.size === 0) return null;
  return Buffer.concat([...chunks.values()].map(({ id }) => id));
}

export class ParentChunks {
  readonly #run: Run;
  readonly #parent: RestorePoint | null;
  readonly #relationsByOid: ReadonlyMap<number, RelationRecord>;
  readonly #relationsByName: ReadonlyMap<string, RelationRecord>;
  #reading: { readonly dumpId: number; readonly segments: AsyncGenerator<SegmentRecord> } | null = null;
  #pending: SegmentRecord | null = null;
  #largeObjects: Promise<ReadonlyMap<number, ChunkReference[]>> | null = null;

  constructor(run: Run) {
    this.#run = run;
    this.#parent = run.parent;
    const relations = run.parent?.manifest.relations ?? [];
    this.#relationsByOid = new Map(relations.map((relation) => [relation.oid, relation]));
    this.#relationsByName = new Map(relations.map((relation) => [nameKey(relation), relation]));
  }

  /** Chunks of the parent's segment that begins at the same block; asked in plan order. */
  async ofSegment(table: TablePlan, segmentIndex: number): Promise<KnownChunks> {
    if (this.#parent === null) return new Map();
    if (this.#reading?.dumpId !== table.dumpId) await this.#open(table);
    const { firstBlock } = table.segments[segmentIndex]!;
    const chunks = new Map<string, ChunkReference>();
    for (
      let record = await this.#peek();
      record !== null && record.firstBlock <= firstBlock;
      record = await this.#peek()
    ) {
      this.#pending = null;
      if (record.firstBlock < firstBlock) continue;
      for (const chunk of record.chunks) if (this.#run.canReuse(chunk)) chunks.set(chunkKey(chunk.id), chunk);
    }
    return chunks;
  }

  /** Chunks of the parent that hold objects of this bucket. */
  async ofBucket(bucket: LargeObjectBucket): Promise<KnownChunks> {
    if (this.#parent === null) return new Map();
    this.#largeObjects ??= this.#readLargeObjects(this.#parent);
    const chunks = (await this.#largeObjects).get(bucket.oids[0]! >>> BUCKET_BITS) ?? [];
    return new Map(chunks.map((chunk) => [chunkKey(chunk.id), chunk]));
  }

  async close(): Promise<void> {
    await this.#reading?.segments.return(undefined);
  }

  async #open(table: TablePlan): Promise<void> {
    await this.close();
    this.#pending = null;
    const { relation } = table;
    const record = this.#relationsByOid.get(relation.oid) ?? this.#relationsByName.get(nameKey(relation)) ?? null;
    const isComparable = record !== null && record.segmentBlocks === table.segmentBlockCount;
    const segments = isComparable ? this.#parent!.segments(record) : noSegments();
    this.#reading = { dumpId: table.dumpId, segments };
  }

  async #peek(): Promise<SegmentRecord | null> {
    if (this.#pending === null) {
      const next = await this.#reading!.segments.next();
      this.#pending = next.done === true ? null : next.value;
    }
    return this.#pending;
  }

  async #readLargeObjects(parent: RestorePoint): Promise<ReadonlyMap<number, ChunkReference[]>> {
    const chunks = new Map<number, ChunkReference[]>();
    let count = 0;
    for (const set of parent.manifest.largeObjects) {
      for await (const record of parent.largeObjects(set)) {
        const oid = record.kind === "own" ? record.oid : record.objects[0]!.oid;
        for (const chunk of record.kind === "own" ? record.chunks : [record.chunk]) {
          if (count++ >= LARGE_OBJECT_CHUNKS_MAX) return chunks;
          if (!this.#run.canReuse(chunk)) continue;
          const bucket = chunks.get(oid >>> BUCKET_BITS);
          if (bucket === undefined) chunks.set(oid >>> BUCKET_BITS, [chunk]);
          else bucket.push(chunk);
        }
      }
    }
    return chunks;
  }
}

function nameKey(relation: { readonly namespace: string; readonly name: string }): string {
  return JSON.stringify([relation.namespace, relation.name]);
}

async function* noSegments(): AsyncGenerator<SegmentRecord> {
  // no segments
}
