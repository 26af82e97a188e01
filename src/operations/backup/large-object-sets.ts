// Gathers the records of large objects, bucket by bucket, and adds them to the lists of their BLOBS entries in the order
// of the buckets.

import { assert } from "../../base/assert.ts";
import type { LargeObjectBucket, LargeObjectChunk } from "../../dump/index.ts";
import type {
  ChunkReference,
  LargeObjectListWriter,
  LargeObjectRecord,
  LargeObjectSet,
  Run,
} from "../../repository/index.ts";

/** Buckets that were taken over and wait for one before them that is still being read. */
const BUCKETS_WAITING_MAX = 256;

interface OpenBucket {
  readonly records: LargeObjectRecord[];
  /** Chunks of an object that goes on. */
  pieces: ChunkReference[];
}

interface FinishedBucket {
  readonly bucket: LargeObjectBucket;
  readonly records: readonly LargeObjectRecord[];
}

export class LargeObjectSets {
  readonly #run: Run;
  readonly #lists = new Map<number, LargeObjectListWriter>();
  readonly #open = new Map<number, OpenBucket>();
  readonly #finished = new Map<number, FinishedBucket>();
  readonly #waiting: (() => void)[] = [];
  #nextIndex = 0;
  #adding: Promise<void> = Promise.resolve();

  constructor(run: Run) {
    this.#run = run;
  }

  /** Chunks of one bucket come in order. */
  addChunk(bucket: LargeObjectBucket, members: LargeObjectChunk["members"], chunk: ChunkReference): void {
    const open = this.#openBucket(bucket);
    if (
      members.length > 1 ||
      (members[0]!.lengthBytes === chunk.rawLengthBytes && !chunk.continues && open.pieces.length === 0)
    ) {
      open.records.push({ kind: "shared", chunk, objects: members });
      return;
    }
    open.pieces.push(chunk);
    if (chunk.continues) return;
    const lengthBytes = open.pieces.reduce((sum, piece) => sum + piece.rawLengthBytes, 0);
    open.records.push({ kind: "own", oid: members[0]!.oid, lengthBytes, chunks: open.pieces });
    open.pieces = [];
  }

  /** All of a bucket at once; waits for those before it when many stand behind them. */
  async addBucket(
    bucket: LargeObjectBucket,
    records: readonly LargeObjectRecord[],
    signal: AbortSignal,
  ): Promise<void> {
    while (this.#finished.size >= BUCKETS_WAITING_MAX) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    await this.#finish(bucket, records);
  }

  /** The records of a bucket whose chunks have all come. */
  async endBucket(bucket: LargeObjectBucket): Promise<readonly LargeObjectRecord[]> {
    const { records, pieces } = this.#openBucket(bucket);
    assert(pieces.length === 0, "the last large object of a bucket is whole");
    this.#open.delete(bucket.bucketIndex);
    await this.#finish(bucket, records);
    return records;
  }

  async #finish(bucket: LargeObjectBucket, records: readonly LargeObjectRecord[]): Promise<void> {
    this.#finished.set(bucket.bucketIndex, { bucket, records });
    this.#adding = this.#adding.then(() => this.#addFinished());
    await this.#adding;
  }

  /** The sets of these entries; one that had no objects gets an empty list. */
  async finish(dumpIds: readonly number[]): Promise<LargeObjectSet[]> {
    await this.#adding;
    assert(this.#open.size === 0 && this.#finished.size === 0, "every bucket was read to its end");
    const sets: LargeObjectSet[] = [];
    for (const dumpId of dumpIds) sets.push({ ...(await this.#list(dumpId).finish()), dumpId });
    return sets;
  }

  #openBucket(bucket: LargeObjectBucket): OpenBucket {
    const open = this.#open.get(bucket.bucketIndex) ?? { records: [], pieces: [] };
    this.#open.set(bucket.bucketIndex, open);
    return open;
  }

  #list(dumpId: number): LargeObjectListWriter {
    const list = this.#lists.get(dumpId) ?? this.#run.openLargeObjectList();
    this.#lists.set(dumpId, list);
    return list;
  }

  async #addFinished(): Promise<void> {
    for (
      let next = this.#finished.get(this.#nextIndex);
      next !== undefined;
      next = this.#finished.get(this.#nextIndex)
    ) {
      for (const record of next.records) await this.#list(next.bucket.dumpId).add(record);
      this.#finished.delete(this.#nextIndex);
      this.#nextIndex += 1;
    }
    for (const wakeUp of this.#waiting.splice(0)) wakeUp();
  }
}
