// Which objects of a parent are those of a bucket: exactly these, each whole, whatever the parent's lists hold beside them.

import { expect, test } from "vitest";

import type { LargeObjectRecord, RestorePoint } from "../../repository/index.ts";
import { ParentLargeObjects } from "./parent-large-objects.ts";

function shared(...oids: readonly number[]): LargeObjectRecord {
  const objects = oids.map((oid) => ({ oid, lengthBytes: 1 }));
  return { kind: "shared", chunk: { rawLengthBytes: oids.length }, objects } as unknown as LargeObjectRecord;
}

/** Of chunks with 10 bytes each. */
function own(oid: number, lengthBytes: number, chunkCount: number, more: object = {}): LargeObjectRecord {
  const chunks = Array.from({ length: chunkCount }, () => ({ rawLengthBytes: 10, continues: true }));
  return { kind: "own", oid, lengthBytes, chunks, ...more } as unknown as LargeObjectRecord;
}

/** Its last chunk is the object's last one. */
function ended(record: LargeObjectRecord): LargeObjectRecord {
  if (record.kind === "own") Object.assign(record.chunks.at(-1)!, { continues: false });
  return record;
}

const continued = { continuesPrevious: true };

function parentOf(...sets: readonly (readonly LargeObjectRecord[])[]): RestorePoint {
  async function* largeObjects(set: { readonly index: number }): AsyncGenerator<LargeObjectRecord> {
    yield* sets[set.index]!;
  }
  return { manifest: { largeObjects: sets.map((_, index) => ({ index })) }, largeObjects } as unknown as RestorePoint;
}

/** OIDs of what is found for each bucket in turn. */
async function found(parent: RestorePoint, ...buckets: readonly (readonly number[])[]): Promise<unknown[]> {
  const objects = new ParentLargeObjects(parent);
  const results: unknown[] = [];
  for (const [bucketIndex, oids] of buckets.entries()) {
    const records = await objects.of({ dumpId: 1, bucketIndex, oids });
    results.push(
      records?.flatMap((one) => (one.kind === "own" ? [one.oid] : one.objects.map(({ oid }) => oid))) ?? null,
    );
  }
  await objects.close();
  return results;
}

test("of() finds the same objects in the same order, over all sets", async () => {
  const parent = parentOf([shared(1, 2), ended(own(3, 20, 2)), shared(4)], [], [shared(1, 5), shared(2000)]);
  const buckets = [[1, 2, 3, 4], [1, 5], [2000]];
  expect(await found(parent, ...buckets)).toEqual(buckets);
});

test("of() passes over what the parent alone has, and what it does not have", async () => {
  const parent = parentOf([shared(1, 2), shared(2000), shared(4000)]);
  expect(await found(parent, [1, 2], [4000])).toEqual([[1, 2], [4000]]);
  expect(await found(parent, [1, 2], [1500], [2000], [4000], [9000])).toEqual([[1, 2], null, [2000], [4000], null]);
});

test.each([
  ["one is new", [1, 2, 3]],
  ["one is gone", [1]],
  ["the first is gone", [2]],
  ["one is another", [1, 3]],
])("of() finds no bucket of which %s, and the next one all the same", async (_, oids) => {
  expect(await found(parentOf([shared(1, 2), shared(2000)]), oids, [2000])).toEqual([null, [2000]]);
});

test("of() makes one record of an object that comes in several", async () => {
  const parent = parentOf([own(1, 50, 2), own(1, 0, 2, continued), ended(own(1, 0, 1, continued)), shared(2)]);
  const [record, other] = (await new ParentLargeObjects(parent).of({ dumpId: 1, bucketIndex: 0, oids: [1, 2] }))!;
  expect(record).toMatchObject({ kind: "own", oid: 1, lengthBytes: 50 });
  expect(record?.kind === "own" && record.chunks.length).toBe(5);
  expect(other).toMatchObject({ kind: "shared" });
});

test.each([
  ["its end", [own(1, 50, 2), own(1, 0, 2, continued)]],
  ["a piece in between", [own(1, 50, 2), ended(own(1, 0, 2, continued))]],
  ["all but its head", [own(1, 30, 2)]],
  ["its head", [own(1, 0, 2, continued), ended(own(1, 0, 1, continued))]],
  ["its last chunk", [own(1, 20, 2)]],
])("of() finds no object of which a damaged list lost %s", async (_, records) => {
  expect(await found(parentOf(records, [shared(2000)]), [1], [2000])).toEqual([null, [2000]]);
});

test("of() finds nothing without a parent", async () => {
  expect(await new ParentLargeObjects(null).of({ dumpId: 1, bucketIndex: 0, oids: [1] })).toBeNull();
});
