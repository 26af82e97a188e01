// Takes chunks from the readers into a run of the repository: stores what is new, refers to what the parent has, and
// writes each relation's list. Segments end in any order; their records are added in the order of the heap.

import { assert } from "../../base/assert.ts";
import type { DataSink, LargeObjectBucket, LargeObjectChunk, ReadChunk, TablePlan } from "../../dump/index.ts";
import type { ChunkReference, LargeObjectSet, RelationRecord, Run, SegmentListWriter } from "../../repository/index.ts";
import { LargeObjectSets } from "./large-object-sets.ts";
import { chunkKey, idsOf, ParentChunks, type KnownChunks } from "./parent-chunks.ts";

interface OpenSegment {
  readonly known: KnownChunks;
  readonly chunks: ChunkReference[];
}

interface OpenTable {
  readonly list: SegmentListWriter;
  readonly segments: Map<number, OpenSegment>;
  readonly done: Map<number, { readonly rowCount: number; readonly chunks: readonly ChunkReference[] }>;
  nextIndex: number;
  adding: Promise<void>;
}

export class RepositorySink implements DataSink {
  rawBytes = 0;
  storedBytes = 0;
  rowCount = 0;
  readonly relations: RelationRecord[] = [];
  readonly #run: Run;
  readonly #encoding: "zstd" | "none";
  readonly #parent: ParentChunks;
  readonly #tables = new Map<number, OpenTable>();
  readonly #largeObjects: LargeObjectSets;
  readonly #knownInBuckets = new Map<number, KnownChunks>();

  constructor(run: Run, encoding: "zstd" | "none") {
    this.#run = run;
    this.#encoding = encoding;
    this.#parent = new ParentChunks(run);
    this.#largeObjects = new LargeObjectSets(run);
  }

  async knownTableChunks(table: TablePlan, segmentIndex: number): Promise<Uint8Array | null> {
    const known = await this.#parent.ofSegment(table, segmentIndex);
    this.#openTable(table).segments.set(segmentIndex, { known, chunks: [] });
    return idsOf(known);
  }

  async tableChunk(table: TablePlan, segmentIndex: number, chunk: ReadChunk): Promise<void> {
    const segment = this.#tables.get(table.dumpId)?.segments.get(segmentIndex);
    assert(segment !== undefined, "a segment was asked for before its chunks come");
    this.rowCount += chunk.rowCount;
    segment.chunks.push(await this.#settle("table", chunk, segment.known));
  }

  async segmentDone(table: TablePlan, segmentIndex: number, rowCount: number): Promise<void> {
    const open = this.#tables.get(table.dumpId)!;
    const { chunks } = open.segments.get(segmentIndex)!;
    open.segments.delete(segmentIndex);
    open.done.set(segmentIndex, { rowCount, chunks });
    open.adding = open.adding.then(() => this.#addDone(table, open));
    await open.adding;
  }

  async knownLargeObjectChunks(bucket: LargeObjectBucket): Promise<Uint8Array | null> {
    const known = await this.#parent.ofBucket(bucket);
    this.#knownInBuckets.set(bucket.bucketIndex, known);
    return idsOf(known);
  }

  async largeObjectChunk(bucket: LargeObjectBucket, { members, chunk }: LargeObjectChunk): Promise<void> {
    const known = this.#knownInBuckets.get(bucket.bucketIndex)!;
    this.#largeObjects.addChunk(bucket, members, await this.#settle("large-objects", chunk, known));
  }

  async largeObjectBucketDone(bucket: LargeObjectBucket): Promise<void> {
    this.#knownInBuckets.delete(bucket.bucketIndex);
    await this.#largeObjects.endBucket(bucket);
  }

  /** The records of the BLOBS entries, when everything was read. `dumpIds`: all of them, in the archive's order. */
  async finish(dumpIds: readonly number[]): Promise<LargeObjectSet[]> {
    await this.#parent.close();
    assert(this.#tables.size === 0, "every table was read to its end");
    return await this.#largeObjects.finish(dumpIds);
  }

  async #settle(kind: "table" | "large-objects", chunk: ReadChunk, known: KnownChunks): Promise<ChunkReference> {
    this.rawBytes += chunk.rawLengthBytes;
    const { id, rawLengthBytes, rowCount, continues, frame } = chunk;
    if (frame === null) {
      const reference = known.get(chunkKey(id));
      assert(reference !== undefined, "a chunk without its frame is one of the parent's");
      assert(reference.rawLengthBytes === rawLengthBytes, "equal ids mean equal lengths");
      return { ...reference, rowCount, continues };
    }
    this.storedBytes += frame.length;
    const encoding = this.#encoding;
    return await this.#run.storeChunk({ kind, id, rawLengthBytes, rowCount, continues, encoding, bytes: frame });
  }

  #openTable(table: TablePlan): OpenTable {
    const open = this.#tables.get(table.dumpId);
    if (open !== undefined) return open;
    const list = this.#run.openSegmentList();
    const made = { list, segments: new Map(), done: new Map(), nextIndex: 0, adding: Promise.resolve() };
    this.#tables.set(table.dumpId, made);
    return made;
  }

  async #addDone(table: TablePlan, open: OpenTable): Promise<void> {
    for (let done = open.done.get(open.nextIndex); done !== undefined; done = open.done.get(open.nextIndex)) {
      const { firstBlock, blockCount } = table.segments[open.nextIndex]!;
      await open.list.add({ firstBlock, blockCount, ...done });
      open.done.delete(open.nextIndex);
      open.nextIndex += 1;
    }
    if (open.nextIndex < table.segments.length) return;
    // Segments that end while others are being added are added with those: their own turn finds nothing left to do.
    if (!this.#tables.delete(table.dumpId)) return;
    const { relation } = table;
    this.relations.push({
      ...(await open.list.finish()),
      dumpId: table.dumpId,
      oid: relation.oid,
      namespace: relation.namespace,
      name: relation.name,
      blockCount: relation.blockCount,
      segmentBlocks: table.segmentBlockCount,
      storage: {
        tablespaceOid: relation.tablespaceOid,
        filenode: relation.filenode,
        persistence: relation.persistence,
        ...(relation.accessMethod === null ? {} : { accessMethod: relation.accessMethod }),
      },
    });
  }
}
