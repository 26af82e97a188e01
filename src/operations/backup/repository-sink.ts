// Takes chunks from the readers into a run of the repository: stores what is new, refers to what the parent has, and
// writes each relation's list. Segments end in any order; their records are added in the order of the heap. Whole
// segments of the parent are taken over where the plan says so. Memory: the chunk references of SEGMENTS_WAITING_MAX
// segments for each table that is being read.

import { assert } from "../../base/assert.ts";
import type {
  DataSink,
  LargeObjectBucket,
  LargeObjectChunk,
  OfferedChunk,
  ReadChunk,
  TablePlan,
} from "../../dump/index.ts";
import type { ChunkReference, LargeObjectSet, RelationRecord, Run, SegmentListWriter } from "../../repository/index.ts";
import { baseOf, DeltaBases, type DeltaCounts, type DeltaSettings } from "./delta-bases.ts";
import { LargeObjectSets } from "./large-object-sets.ts";
import { LargeObjectTaking } from "./large-object-taking.ts";
import { chunkKey, idsOf, ParentChunks, type KnownChunks, type ParentSegment } from "./parent-chunks.ts";
import type { ChooseLargeObjects, ChooseSegment, SegmentCounts, SegmentPlace } from "./segment-choice.ts";

/** Segments that were taken over and wait for one before them that is still being read. */
const SEGMENTS_WAITING_MAX = 4096;

interface OpenSegment {
  readonly known: KnownChunks;
  /** The parent's, which deltas may lean on. */
  readonly parentChunks: readonly ChunkReference[];
  readonly chunks: ChunkReference[];
  /** The chunks that it must turn out to have; null: it is not compared. */
  readonly expected: readonly ChunkReference[] | null;
}

interface OpenTable {
  readonly list: SegmentListWriter;
  readonly segments: Map<number, OpenSegment>;
  readonly done: Map<number, { readonly rowCount: number; readonly chunks: readonly ChunkReference[] }>;
  nextIndex: number;
  adding: Promise<void>;
  /** Called when segments were added to the list. */
  readonly waiting: (() => void)[];
}

export class RepositorySink implements DataSink {
  rawBytes = 0;
  storedBytes = 0;
  rowCount = 0;
  readonly segments: SegmentCounts = {
    readCount: 0,
    takenOverCount: 0,
    takenOverRawBytes: 0,
    notReusableCount: 0,
    comparedCount: 0,
  };
  /** Segments that hold something else than what would have been taken over. */
  readonly differences: SegmentPlace[] = [];
  #relations: RelationRecord[] = [];
  readonly #choose: ChooseSegment;
  /** What was taken over, by table. */
  readonly #takenOver = new Map<number, { count: number; rawBytes: number }>();
  readonly #run: Run;
  readonly #encoding: "zstd" | "none";
  readonly #parent: ParentChunks;
  readonly #tables = new Map<number, OpenTable>();
  readonly #largeObjects: LargeObjectSets;
  /** What becomes of large objects. */
  readonly objects: LargeObjectTaking;
  readonly #knownInBuckets = new Map<number, KnownChunks>();
  readonly #deltas: DeltaBases;

  constructor(
    run: Run,
    storing: DeltaSettings,
    choose: ChooseSegment = () => "read",
    chooseLargeObjects: ChooseLargeObjects = () => "read",
  ) {
    this.#run = run;
    this.#choose = choose;
    this.#encoding = storing.encoding;
    this.#parent = new ParentChunks(run);
    this.#deltas = new DeltaBases(run, storing);
    this.#largeObjects = new LargeObjectSets(run);
    this.objects = new LargeObjectTaking(run, chooseLargeObjects);
  }

  /** Of the tables that were read or taken over to their end. */
  get relations(): readonly RelationRecord[] {
    return this.#relations;
  }

  /** Plain text that was taken over without being read. */
  get takenOverBytes(): number {
    return this.segments.takenOverRawBytes;
  }

  get deltas(): DeltaCounts {
    return this.#deltas.counts;
  }

  /** What the storage said of a chunk to lean on that did not come; null: all came. */
  get deltaFailure(): string | null {
    return this.#deltas.failure;
  }

  /** How many segments of a table were taken over. */
  takenOverOf({ dumpId }: TablePlan): number {
    return this.#takenOver.get(dumpId)?.count ?? 0;
  }

  /** By dump id: plain text that was read of each table that is done. */
  readRawBytes(): ReadonlyMap<number, number> {
    const readOf = ({ dumpId, rawBytes }: RelationRecord): number => {
      return rawBytes - (this.#takenOver.get(dumpId)?.rawBytes ?? 0);
    };
    return new Map(this.#relations.map((relation) => [relation.dumpId, readOf(relation)]));
  }

  async takesOver(table: TablePlan, segmentIndex: number, signal: AbortSignal): Promise<boolean> {
    if (this.#choose(table, segmentIndex) !== "take over") return false;
    const segment = await this.#parent.segment(table, segmentIndex);
    if (segment === null || !this.#isReusable(segment, table, segmentIndex)) {
      this.segments.notReusableCount += 1;
      return false;
    }
    const open = this.#openTable(table);
    await waitForRoom(open, signal);
    this.#countTakenOver(table, segment);
    await this.#end(table, open, { segmentIndex, rowCount: segment.rowCount, chunks: segment.chunks });
    return true;
  }

  async knownTableChunks(table: TablePlan, segmentIndex: number): Promise<Uint8Array | null> {
    const known = await this.#parent.ofSegment(table, segmentIndex);
    const segment = await this.#parent.segment(table, segmentIndex);
    const isCompared = segment?.isWhole === true && this.#choose(table, segmentIndex) === "compare";
    const { chunks: parentChunks } = segment ?? { chunks: [] };
    this.segments.readCount += 1;
    const expected = isCompared ? parentChunks : null;
    this.#openTable(table).segments.set(segmentIndex, { known, parentChunks, chunks: [], expected });
    return idsOf(known);
  }

  offeredTableChunks(table: TablePlan, segmentIndex: number): readonly OfferedChunk[] | null {
    return this.#deltas.offer(this.#tables.get(table.dumpId)!.segments.get(segmentIndex)!.parentChunks);
  }

  async loadBase(table: TablePlan, segmentIndex: number, offeredIndex: number): Promise<Uint8Array | null> {
    const segment = this.#tables.get(table.dumpId)?.segments.get(segmentIndex);
    assert(segment !== undefined, "a segment's bases are wanted before its end");
    const { name, namespace } = table.relation;
    return await this.#deltas.load(baseOf(segment.parentChunks[offeredIndex]!), `${namespace}.${name}`);
  }

  async tableChunk(table: TablePlan, segmentIndex: number, chunk: ReadChunk): Promise<void> {
    const segment = this.#tables.get(table.dumpId)?.segments.get(segmentIndex);
    assert(segment !== undefined, "a segment was asked for before its chunks come");
    this.rowCount += chunk.rowCount;
    const like = chunk.deltaOf === null ? null : segment.parentChunks[chunk.deltaOf]!;
    const isWhole = chunk.frame !== null && like === null;
    if (isWhole && segment.parentChunks.length > 0) this.#deltas.countWhole(chunk.frame.length);
    if (like === null) segment.chunks.push(await this.#settle("table", chunk, segment.known));
    else segment.chunks.push(await this.#storeDelta(chunk, baseOf(like)));
  }

  async segmentDone(table: TablePlan, segmentIndex: number, rowCount: number): Promise<void> {
    const open = this.#tables.get(table.dumpId)!;
    const { chunks, expected, parentChunks } = open.segments.get(segmentIndex)!;
    open.segments.delete(segmentIndex);
    this.#deltas.forget(parentChunks);
    if (expected !== null) {
      this.segments.comparedCount += 1;
      if (!haveEqualIds(expected, chunks)) this.differences.push({ table, segmentIndex });
    }
    await this.#end(table, open, { segmentIndex, rowCount, chunks });
  }

  /** Forgets tables, so that all of each is read once more. */
  async discard(tables: readonly TablePlan[]): Promise<void> {
    const dumpIds = new Set(tables.map(({ dumpId }) => dumpId));
    await this.#parent.close();
    this.#relations = this.#relations.filter(({ dumpId }) => !dumpIds.has(dumpId));
    for (const table of tables) {
      const { count = 0, rawBytes = 0 } = this.#takenOver.get(table.dumpId) ?? {};
      this.segments.takenOverCount -= count;
      this.segments.takenOverRawBytes -= rawBytes;
      this.segments.readCount -= table.segments.length - count;
      this.#takenOver.delete(table.dumpId);
    }
  }

  async takesOverLargeObjects(bucket: LargeObjectBucket, signal: AbortSignal): Promise<boolean> {
    const taken = await this.objects.take(bucket);
    if (taken === null) return false;
    this.segments.takenOverRawBytes += taken.rawBytes;
    await this.#largeObjects.addBucket(bucket, taken.records, signal);
    return true;
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
    this.objects.compare(bucket, await this.#largeObjects.endBucket(bucket));
  }

  /** The records of the BLOBS entries, when everything was read. `dumpIds`: all of them, in the archive's order. */
  async finish(dumpIds: readonly number[]): Promise<LargeObjectSet[]> {
    await this.#parent.close();
    await this.objects.close();
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

  async #storeDelta(chunk: ReadChunk, base: ChunkReference): Promise<ChunkReference> {
    const { id, rawLengthBytes, rowCount, continues, frame: bytes } = chunk;
    assert(bytes !== null, "a delta has a frame");
    this.rawBytes += rawLengthBytes;
    this.storedBytes += bytes.length;
    const facts = { kind: "table", id, rawLengthBytes, rowCount, continues, encoding: "zstd-delta" } as const;
    const stored = await this.#run.storeChunk({ ...facts, base, bytes });
    // What a run that broke off left may be a full chunk.
    if (stored.encoding === "zstd-delta") this.#deltas.count(rawLengthBytes, bytes.length);
    return stored;
  }

  #countTakenOver({ dumpId }: TablePlan, { chunks }: ParentSegment): void {
    const sums = this.#takenOver.get(dumpId) ?? { count: 0, rawBytes: 0 };
    this.#takenOver.set(dumpId, sums);
    const rawBytes = chunks.reduce((sum, { rawLengthBytes }) => sum + rawLengthBytes, 0);
    sums.count += 1;
    sums.rawBytes += rawBytes;
    this.segments.takenOverCount += 1;
    this.segments.takenOverRawBytes += rawBytes;
  }

  #isReusable(segment: ParentSegment, table: TablePlan, segmentIndex: number): boolean {
    const isSameRange = segment.blockCount === table.segments[segmentIndex]!.blockCount;
    return segment.isWhole && isSameRange && segment.chunks.every((chunk) => this.#run.canReuse(chunk));
  }

  async #end(
    table: TablePlan,
    open: OpenTable,
    done: { readonly segmentIndex: number; readonly rowCount: number; readonly chunks: readonly ChunkReference[] },
  ): Promise<void> {
    const { segmentIndex, rowCount, chunks } = done;
    open.done.set(segmentIndex, { rowCount, chunks });
    open.adding = open.adding.then(() => this.#addDone(table, open));
    await open.adding;
  }

  #openTable(table: TablePlan): OpenTable {
    const open = this.#tables.get(table.dumpId);
    if (open !== undefined) return open;
    const list = this.#run.openSegmentList();
    const made = { list, segments: new Map(), done: new Map(), nextIndex: 0, adding: Promise.resolve(), waiting: [] };
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
    for (const wakeUp of open.waiting.splice(0)) wakeUp();
    if (open.nextIndex < table.segments.length) return;
    // Segments that end while others are being added are added with those: their own turn finds nothing left to do.
    if (!this.#tables.delete(table.dumpId)) return;
    const { relation } = table;
    this.#relations.push({
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

/** Until segments that were taken over may wait for those before them again. */
async function waitForRoom(open: OpenTable, signal: AbortSignal): Promise<void> {
  while (open.done.size >= SEGMENTS_WAITING_MAX) {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      open.waiting.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

function haveEqualIds(left: readonly ChunkReference[], right: readonly ChunkReference[]): boolean {
  return left.length === right.length && left.every(({ id }, index) => Buffer.compare(id, right[index]!.id) === 0);
}
