// How much of a list a copy holds at a time.

import { expect, test } from "vitest";
import type { ChunkReference } from "../lists.ts";
import { RecordBatch } from "./record-batch.ts";
import type { MissingChunk } from "./record-batch.ts";

const CHUNK = { pack: "20261122T100000Z-00000000-0", itemNumber: 0, lengthBytes: 1 } as ChunkReference;

/** Adds `count` records like that one; the most records and entries that were held at once, and all that were settled. */
async function fill(count: number, record: { chunkCount: number; objectCount: number; isMissing?: boolean }) {
  const settled: number[] = [];
  const sealed: number[] = [];
  const copier = {
    sealAnew: async (missing: readonly MissingChunk[]): Promise<void> => {
      sealed.push(missing.length);
      for (const { settle } of missing) await Promise.resolve(settle(CHUNK));
    },
    countSettled: (): void => undefined,
  };
  const batch = new RecordBatch<number>(copier, async (pending) => {
    expect(pending.found).toEqual(Array.from({ length: record.chunkCount }, () => CHUNK));
    await Promise.resolve(settled.push(pending.record));
  });
  let heldMax = 0;
  for (let index = 0; index < count; index += 1) {
    const chunks = Array.from({ length: record.chunkCount }, () => CHUNK);
    const found = chunks.map(() => (record.isMissing === true ? null : CHUNK));
    await batch.add({ record: index, chunks, found, known: { bySourceId: new Map(), byTargetId: new Map() }, objectCount: record.objectCount }); // prettier-ignore
    heldMax = Math.max(heldMax, index + 1 - settled.length);
  }
  await batch.flush();
  expect(settled).toEqual(Array.from({ length: count }, (_, index) => index));
  return { heldMax, sealedMax: Math.max(...sealed) };
}

test("RecordBatch holds 1,024 records, or 50,000 chunks and large objects, or 256 chunks to be sealed anew", async () => {
  expect(await fill(3000, { chunkCount: 1, objectCount: 0 })).toEqual({ heldMax: 1023, sealedMax: 0 });
  expect(await fill(20, { chunkCount: 1, objectCount: 16_384 })).toEqual({ heldMax: 3, sealedMax: 0 });
  expect(await fill(200, { chunkCount: 1024, objectCount: 0 })).toEqual({ heldMax: 48, sealedMax: 0 });
  expect(await fill(600, { chunkCount: 1, objectCount: 0, isMissing: true })).toEqual({ heldMax: 255, sealedMax: 256 });
});
