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
  /** What of it is in memory: all of a short one. */
  readonly records: readonly SegmentRecord[];
  /** Of them, the first that was not used. */
  position: number;
  /** Where the rest comes from; null: there is none. */
  readonly rest: AsyncGenerator<SegmentRecord> | null;
  /** Of the rest, the record that was not used. */
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
    const open = this.#open?.dumpId === table.dumpId ? this.#open : await this.#openList(table, this.#parent);
    if (open.last?.segmentIndex === segmentIndex) return open.last.segment;
    const { firstBlock } = table.segments[segmentIndex]!;
    const segment = open.rest === null ? takeSegment(open, firstBlock) : await readSegment(open, firstBlock);
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
    const rest = this.#open?.rest ?? null;
    this.#open = null;
    await rest?.return(undefined);
  }

  async #openList(table: TablePlan, parent: RestorePoint): Promise<OpenList> {
    if ((this.#open?.rest ?? null) !== null) await this.close();
    const { oid, namespace, name } = table.relation;
    const record = parent.findRelation({ oid }) ?? parent.findRelation({ namespace, name });
    const isComparable = record !== null && record.segmentBlocks === table.segmentBlockCount;
    const short = isComparable ? await parent.shortSegments(record) : [];
    const rest = short === null ? parent.segments(record!) : null;
    const { dumpId } = table;
    const before = { position: 0, pending: null, seenChunkCount: 0, last: null };
    this.#open = { dumpId, relation: record, records: short ?? [], rest, ...before };
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

/** Of a list that is in memory whole, passing over what lies before that block. */
function takeSegment(open: OpenList, firstBlock: number): ParentSegment | null {
  const found = new SegmentParts(firstBlock);
  for (let record = open.records[open.position]; record !== undefined; record = open.records[open.position]) {
    if (record.firstBlock > firstBlock) return found.segment(true);
    open.position += 1;
    open.seenChunkCount += record.chunks.length;
    found.add(record);
  }
  return found.segment(hasAllCome(open));
}

/** The same of a list that is read as it goes. */
async function readSegment(open: OpenList, firstBlock: number): Promise<ParentSegment | null> {
  const found = new SegmentParts(firstBlock);
  let record = await peek(open);
  for (; record !== null && record.firstBlock <= firstBlock; record = await peek(open)) {
    open.pending = null;
    found.add(record);
  }
  return found.segment(record !== null || hasAllCome(open));
}

/** A list that is damaged ends early: its end is the true one when all of its chunks have come. */
function hasAllCome({ seenChunkCount, relation }: OpenList): boolean {
  return seenChunkCount === relation?.chunkCount;
}

/** The records of the segment that begins at a block. */
class SegmentParts {
  readonly #firstBlock: number;
  #head: SegmentRecord | null = null;
  #chunks: ChunkReference[] = [];
  #rowCount = 0;

  constructor(firstBlock: number) {
    this.#firstBlock = firstBlock;
  }

  add(record: SegmentRecord): void {
    if (record.firstBlock < this.#firstBlock) return;
    this.#head ??= record;
    this.#rowCount += record.rowCount;
    for (const chunk of record.chunks) this.#chunks.push(chunk);
  }

  /** Null where no record was of the segment. */
  segment(isWhole: boolean): ParentSegment | null {
    if (this.#head === null) return null;
    return { chunks: this.#chunks, rowCount: this.#rowCount, blockCount: this.#head.blockCount, isWhole };
  }
}

/** The next record of the rest, which stays where it is. */
async function peek(open: OpenList): Promise<SegmentRecord | null> {
  if (open.pending !== null) return open.pending;
  const next = await open.rest!.next();
  if (next.done === true) return null;
  open.seenChunkCount += next.value.chunks.length;
  open.pending = next.value;
  return next.value;
}
