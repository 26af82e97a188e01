// What the parent restore point has of the same segment: chunks that need not be stored, segments that need not be read.
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

/** What the parent has of one segment. */
export interface ParentSegment {
  /** In their order, those too that cannot be reused. */
  readonly chunks: readonly ChunkReference[];
  readonly rowCount: number;
  /** Null: to the end of the table as it was. */
  readonly blockCount: number | null;
  /** False: the parent's list may have had more of it, but is damaged. */
  readonly isWhole: boolean;
}

/** The list of one of the parent's relations, as far as it was read. */
interface OpenList {
  readonly dumpId: number;
  readonly relation: RelationRecord | null;
  readonly records: AsyncGenerator<SegmentRecord> | Iterator<SegmentRecord, undefined>;
  /** Read from the list, and not yet used. */
  pending: SegmentRecord | null;
  seenChunkCount: number;
  /** The segment that was asked for last. */
  last: { readonly segmentIndex: number; readonly segment: ParentSegment | null } | null;
}

export class ParentChunks {
  readonly #run: Run;
  readonly #parent: RestorePoint | null;
  #open: OpenList | null = null;
  #largeObjects: Promise<ReadonlyMap<number, ChunkReference[]>> | null = null;

  constructor(run: Run) {
    this.#run = run;
    this.#parent = run.parent;
  }

  /** The parent's segment that begins at the same block, null when it has none; asked in plan order, twice if need be. */
  async segment(table: TablePlan, segmentIndex: number): Promise<ParentSegment | null> {
    if (this.#parent === null) return null;
    const open = await this.#listOf(table);
    if (open.last?.segmentIndex === segmentIndex) return open.last.segment;
    const segment = await readSegment(open, table.segments[segmentIndex]!.firstBlock);
    open.last = { segmentIndex, segment };
    return segment;
  }

  /** Chunks of that segment that a new restore point may refer to. */
  async ofSegment(table: TablePlan, segmentIndex: number): Promise<KnownChunks> {
    const segment = await this.segment(table, segmentIndex);
    const reusable = (segment?.chunks ?? []).filter((chunk) => this.#run.canReuse(chunk));
    return new Map(reusable.map((chunk) => [chunkKey(chunk.id), chunk]));
  }

  /** Chunks of the parent that hold objects of this bucket. */
  async ofBucket(bucket: LargeObjectBucket): Promise<KnownChunks> {
    if (this.#parent === null) return new Map();
    this.#largeObjects ??= this.#readLargeObjects(this.#parent);
    const chunks = (await this.#largeObjects).get(bucket.oids[0]! >>> BUCKET_BITS) ?? [];
    return new Map(chunks.map((chunk) => [chunkKey(chunk.id), chunk]));
  }

  async close(): Promise<void> {
    await this.#open?.records.return?.(undefined);
    this.#open = null;
  }

  async #listOf(table: TablePlan): Promise<OpenList> {
    if (this.#open?.dumpId === table.dumpId) return this.#open;
    await this.close();
    const { oid, namespace, name } = table.relation;
    const parent = this.#parent!;
    const record = parent.findRelation({ oid }) ?? parent.findRelation({ namespace, name });
    const isComparable = record !== null && record.segmentBlocks === table.segmentBlockCount;
    const short = isComparable ? await parent.shortSegments(record) : [];
    const records = short?.values() ?? parent.segments(record!);
    const { dumpId } = table;
    this.#open = { dumpId, relation: record, records, pending: null, seenChunkCount: 0, last: null };
    return this.#open;
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

/** Passes over what lies before that block. */
async function readSegment(open: OpenList, firstBlock: number): Promise<ParentSegment | null> {
  let head: SegmentRecord | null = null;
  const chunks: ChunkReference[] = [];
  let rowCount = 0;
  let record = await peek(open);
  for (; record !== null && record.firstBlock <= firstBlock; record = await peek(open)) {
    open.pending = null;
    if (record.firstBlock < firstBlock) continue;
    head ??= record;
    rowCount += record.rowCount;
    for (const chunk of record.chunks) chunks.push(chunk);
  }
  if (head === null) return null;
  // A list that is damaged ends early: its end is the true one when all of its chunks have come.
  const isWhole = record !== null || open.seenChunkCount === open.relation?.chunkCount;
  return { chunks, rowCount, blockCount: head.blockCount, isWhole };
}

/** The next record, which stays where it is. */
async function peek(open: OpenList): Promise<SegmentRecord | null> {
  if (open.pending !== null) return open.pending;
  const next = await open.records.next();
  if (next.done === true) return null;
  open.seenChunkCount += next.value.chunks.length;
  open.pending = next.value;
  return next.value;
}
