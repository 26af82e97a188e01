// What becomes of the large objects of a run: a bucket is taken over from the parent, or read and then, for a self-check,
// compared with what would have been taken over.

import { assert } from "../../base/assert.ts";
import type { LargeObjectBucket } from "../../dump/index.ts";
import type { ChunkReference, LargeObjectRecord, Run } from "../../repository/index.ts";
import { ParentLargeObjects } from "./parent-large-objects.ts";
import type { ChooseLargeObjects, LargeObjectCounts, LargeObjectRange } from "./segment-choice.ts";

/** Objects that are taken over. */
export interface TakenOverObjects {
  readonly records: readonly LargeObjectRecord[];
  readonly rawBytes: number;
}

export class LargeObjectTaking {
  readonly counts: LargeObjectCounts = { readCount: 0, takenOverCount: 0, notReusableCount: 0, comparedCount: 0 };
  /** Of buckets that hold something else than what would have been taken over. */
  readonly differences: LargeObjectRange[] = [];
  readonly #run: Run;
  readonly #choose: ChooseLargeObjects;
  readonly #parent: ParentLargeObjects;
  readonly #expected = new Map<number, readonly LargeObjectRecord[]>();

  constructor(run: Run, choose: ChooseLargeObjects) {
    this.#run = run;
    this.#choose = choose;
    this.#parent = new ParentLargeObjects(run.parent);
  }

  /** What is taken over for a bucket; null: it is read. Asked once for each, in plan order. */
  async take(bucket: LargeObjectBucket): Promise<TakenOverObjects | null> {
    const choice = this.#choose();
    const { length: count } = bucket.oids;
    const records = choice === "read" ? null : await this.#parent.of(bucket);
    const isTaken = choice === "take over" && records !== null && this.#areReusable(records);
    if (choice === "take over" && !isTaken) this.counts.notReusableCount += count;
    if (choice === "compare" && records !== null) this.#expected.set(bucket.bucketIndex, records);
    if (!isTaken) {
      this.counts.readCount += count;
      return null;
    }
    this.counts.takenOverCount += count;
    return { records, rawBytes: chunksOf(records).reduce((sum, { rawLengthBytes }) => sum + rawLengthBytes, 0) };
  }

  /** Compares what was read of a bucket, where it is to be. */
  compare({ bucketIndex, oids }: LargeObjectBucket, records: readonly LargeObjectRecord[]): void {
    const expected = this.#expected.get(bucketIndex);
    if (expected === undefined) return;
    this.#expected.delete(bucketIndex);
    this.counts.comparedCount += oids.length;
    if (textOf(expected) === textOf(records)) return;
    this.differences.push({ firstOid: oids[0]!, lastOid: oids.at(-1)! });
  }

  async close(): Promise<void> {
    assert(this.#expected.size === 0, "every bucket that is to be compared was read");
    await this.#parent.close();
  }

  #areReusable(records: readonly LargeObjectRecord[]): boolean {
    return chunksOf(records).every((chunk) => this.#run.canReuse(chunk));
  }
}

function chunksOf(records: readonly LargeObjectRecord[]): readonly ChunkReference[] {
  return records.flatMap((record) => (record.kind === "own" ? record.chunks : [record.chunk]));
}

/** Equal for equal objects in equal chunks. */
function textOf(records: readonly LargeObjectRecord[]): string {
  const idOf = ({ id }: ChunkReference): string => Buffer.from(id).toString("hex");
  return records
    .map((record) => {
      if (record.kind === "own") return `${record.oid} ${record.lengthBytes} ${record.chunks.map(idOf).join()}`;
      return `${record.objects.map(({ oid, lengthBytes }) => `${oid} ${lengthBytes}`).join()} ${idOf(record.chunk)}`;
    })
    .join("\n");
}
