import { describe, expect, test } from "vitest";
import { isOperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { openLocalStorage } from "../storage/index.ts";
import type { ChunkReference, RestorePoint, Run, SegmentRecord } from "./index.ts";
import { SpanDecoder, SpanEncoder } from "./list-codec.ts";
import type { LargeObjectRecord } from "./lists.ts";
import { chunkOf, FACTS, smallRepository, temporaryFolder, TOC } from "./repository.fixture.ts";

const PACK = "20261122T100000Z-0k3m9x2q-7";
const reference = (index: number, more: Partial<ChunkReference> = {}): ChunkReference => ({
  kind: "table",
  id: Buffer.alloc(32, index),
  pack: PACK,
  itemNumber: index,
  offset: 64 + index * 500_000,
  lengthBytes: 500_000,
  rawLengthBytes: 2_000_000 + index,
  rowCount: 9000,
  continues: index % 3 === 0,
  base: null,
  encoding: index % 2 === 0 ? "zstd" : "none",
  ...more,
});

/** In a record whose numbers are small. */
const CHUNK_COUNT_OFFSET = 5;
const SEGMENTS: SegmentRecord[] = [
  { firstBlock: 0, blockCount: 128, rowCount: 18_000, chunks: [reference(0), reference(1)], continuesPrevious: false },
  { firstBlock: 128, blockCount: 0, rowCount: 0, chunks: [], continuesPrevious: false },
  {
    firstBlock: 4_294_967_295,
    blockCount: null,
    rowCount: 9000,
    chunks: [
      reference(2, { pack: PACK.replace(/7$/, "8"), offset: 2 ** 40 }),
      reference(3, { encoding: "zstd-delta", base: reference(4, { pack: PACK.replace(/7$/, "9") }) }),
    ],
    continuesPrevious: true,
  },
];
const OBJECTS: LargeObjectRecord[] = [
  { kind: "own", oid: 4_294_967_295, lengthBytes: 2 ** 42, chunks: [reference(4, { kind: "large-objects" })], continuesPrevious: false }, // prettier-ignore
  {
    kind: "shared",
    chunk: reference(6, { kind: "large-objects", rawLengthBytes: 12 }),
    objects: [{ oid: 1, lengthBytes: 5 }, { oid: 2, lengthBytes: 0 }, { oid: 3, lengthBytes: 7 }], // prettier-ignore
  },
];

function encoded(): Uint8Array {
  const encoder = new SpanEncoder();
  for (const segment of SEGMENTS) encoder.addSegment(segment);
  return encoder.take();
}

function decoded(bytes: Uint8Array): SegmentRecord[] {
  const decoder = new SpanDecoder(bytes, "x");
  const records: SegmentRecord[] = [];
  for (let record = decoder.nextSegment(); record !== null; record = decoder.nextSegment()) records.push(record);
  return records;
}

/** What is read of a delta and its base as somebody without rules would write them. */
function forged(delta: ChunkReference, base: ChunkReference | null, baseEncoding = 0): SegmentRecord[] {
  const encoder = new SpanEncoder();
  const chunks = [{ ...delta, encoding: "none", base: null } as const, ...(base === null ? [] : [base])];
  encoder.addSegment({ firstBlock: 0, blockCount: 1, rowCount: 1, chunks });
  const bytes = Buffer.from(encoder.take());
  bytes[CHUNK_COUNT_OFFSET] = 1;
  const end = base === null ? bytes.length : bytes.indexOf(base.id);
  bytes[end - 1] = (delta.continues ? 1 : 0) | (2 << 1);
  if (baseEncoding > 0) bytes[bytes.length - 1] = baseEncoding << 1;
  return decoded(bytes);
}

/** How many records there are, or the code of the error. */
function outcome(bytes: Uint8Array): number | string {
  try {
    return decoded(bytes).length;
  } catch (error) {
    if (isOperatingError(error)) return error.code;
    throw error;
  }
}

describe("SpanDecoder", () => {
  test("reads what SpanEncoder wrote", () => {
    expect(decoded(encoded())).toEqual(SEGMENTS);
    const encoder = new SpanEncoder();
    for (const record of OBJECTS) encoder.addLargeObjects(record);
    const decoder = new SpanDecoder(encoder.take(), "x");
    expect([decoder.nextLargeObjects(), decoder.nextLargeObjects(), decoder.nextLargeObjects()]).toEqual([
      ...OBJECTS,
      null,
    ]);
  });

  test("refuses a delta of a delta, of itself, of too long a base, and without one", () => {
    const written = reference(3, { encoding: "zstd-delta", base: reference(4) });
    expect(forged(written, reference(4))).toMatchObject([{ chunks: [written] }]);
    expect(() => forged(written, reference(4), 2)).toThrow("no full chunk");
    expect(() => forged(written, reference(4), 3)).toThrow("an encoding that this version does not know");
    expect(() => forged(written, reference(4, { itemNumber: 3 }))).toThrow("no full chunk");
    expect(() => forged(written, reference(4, { rawLengthBytes: 64 * MIB + 1 }))).toThrow("no full chunk");
    expect(() => forged(written, null)).toThrow("a list is not what was written");
  });

  test("gives records or says corrupt for every truncation and every changed byte", () => {
    const bytes = encoded();
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = bytes.subarray(0, length);
      expect(outcome(cut), `${length} bytes`).not.toBe(SEGMENTS.length);
    }
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 0xff;
      expect(["corrupt", 1, 2, 3], `byte ${index}`).toContain(outcome(changed));
    }
  });
});

async function commit(
  run: Run,
  lists: { name: string; list: Awaited<ReturnType<ReturnType<Run["openSegmentList"]>["finish"]>> }[],
) {
  const relations = lists.map(({ name, list }, index) => {
    return {
      dumpId: index + 1,
      oid: index + 1,
      namespace: "public",
      name,
      storage: null,
      blockCount: 1,
      segmentBlocks: 1,
      ...list,
    };
  });
  return await run.commit({ ...FACTS, relations, largeObjects: [], toc: TOC });
}

async function countChunks(restorePoint: RestorePoint): Promise<number> {
  let count = 0;
  for (const relation of restorePoint.manifest.relations) {
    for await (const segment of restorePoint.segments(relation)) count += segment.chunks.length;
  }
  return count;
}

describe("RestorePoint.segments()", () => {
  test("lists a million chunks quickly and in bounded memory", { timeout: 60_000 }, async () => {
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(folder.path));
    const run = await repository.startRun({ kind: "backup" });
    const chunk = await run.storeChunk(chunkOf(repository.chunkIdSecret, "1\n"));
    const writer = run.openSegmentList();
    const chunks = Array.from({ length: 5000 }, () => chunk);
    for (let segment = 0; segment < 200; segment += 1) {
      await writer.add({ firstBlock: segment, blockCount: 1, rowCount: 5000, chunks });
    }
    const { id } = await commit(run, [{ name: "big", list: await writer.finish() }]);
    const restorePoint = await repository.openRestorePoint(id);
    expect(await restorePoint.shortSegments(restorePoint.manifest.relations[0]!)).toBeNull();
    const before = process.memoryUsage().rss;
    const startedMs = performance.now();
    expect(await countChunks(restorePoint)).toBe(1_000_000);
    // Loose: about 0.5 s on an idle core.
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * MIB);
  });

  test(
    "of ten thousand small tables share pages, so that reading all is few requests",
    { timeout: 60_000 },
    async () => {
      await using folder = await temporaryFolder();
      const { repository } = await smallRepository(openLocalStorage(folder.path));
      const run = await repository.startRun({ kind: "backup" });
      const lists: Parameters<typeof commit>[1] = [];
      for (let table = 0; table < 10_000; table += 1) {
        const writer = run.openSegmentList();
        const stored = table % 10 === 0 ? await run.storeChunk(chunkOf(repository.chunkIdSecret, `${table}\n`)) : null;
        const chunks = stored === null ? [] : [stored];
        await writer.add({ firstBlock: 0, blockCount: 1, rowCount: chunks.length, chunks });
        lists.push({ name: `t${table}`, list: await writer.finish() });
      }
      const { id } = await commit(run, lists);
      const restorePoint = await repository.openRestorePoint(id);
      const before = repository.transfer.requests;
      expect(await countChunks(restorePoint)).toBe(1000);
      expect(repository.transfer.requests - before).toBeLessThan(20);
      for (const relation of restorePoint.manifest.relations.slice(0, 20)) {
        const records: SegmentRecord[] = [];
        for await (const record of restorePoint.segments(relation)) records.push(record);
        expect(await restorePoint.shortSegments(relation)).toEqual(records);
      }
    },
  );

  test("readChunks() fetches neighbours together and reads little more than the chunks", async () => {
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(folder.path));
    const run = await repository.startRun({ kind: "backup" });
    const writer = run.openSegmentList();
    for (let index = 0; index < 50; index += 1) {
      const chunk = await run.storeChunk(chunkOf(repository.chunkIdSecret, `${index}\t${"x".repeat(index)}\n`));
      await writer.add({ firstBlock: index, blockCount: 1, rowCount: 1, chunks: [chunk] });
    }
    const { id } = await commit(run, [{ name: "t", list: await writer.finish() }]);
    const restorePoint = await repository.openRestorePoint(id);
    const relation = restorePoint.manifest.relations[0]!;
    const references: ChunkReference[] = [];
    for await (const segment of restorePoint.segments(relation)) references.push(...segment.chunks);
    const before = repository.transfer;
    const texts: string[] = [];
    for await (const chunk of restorePoint.readChunks(references)) {
      texts.push(Buffer.from(await restorePoint.decodeChunk(chunk)).toString());
    }
    expect(texts).toEqual(references.map((_, index) => `${index}\t${"x".repeat(index)}\n`));
    expect(repository.transfer.requests - before.requests).toBeLessThanOrEqual(2);
    expect(repository.transfer.bytesRead - before.bytesRead).toBeLessThanOrEqual(relation.sealedBytes + 64);
  });
});
