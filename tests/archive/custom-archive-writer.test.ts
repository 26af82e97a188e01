import { describe, expect, test } from "vitest";

import { copyArchive, findEntry, largeObjectsOf, memorySink, readFixture, rowsOf, type Variant } from "./fixtures.ts";
import { oldestPgRestore } from "../../src/archive/archive-version.ts";
import { CustomArchiveReader } from "../../src/archive/custom-archive-reader.ts";
import { CustomArchiveWriter } from "../../src/archive/custom-archive-writer.ts";
import { memorySource } from "../../src/archive/random-access-source.ts";
import type { Toc } from "../../src/archive/toc.ts";
import { compressFrame } from "../../src/archive/zlib-encoder.ts";

const VARIANTS: readonly Variant[] = [
  { version: "1.14", compression: "none", canPatch: true },
  { version: "1.14", compression: "gzip", canPatch: false },
  { version: "1.15", compression: "zstd", canPatch: true },
  { version: "1.16", compression: "none", canPatch: false },
  { version: "1.16", compression: "gzip", canPatch: true },
  { version: "1.16", compression: "zstd", canPatch: false },
  { version: "1.16", compression: "lz4", canPatch: true },
];

async function openSmall(name: string): Promise<CustomArchiveReader> {
  return await CustomArchiveReader.open(memorySource(readFixture(name)));
}

describe("CustomArchiveWriter", () => {
  test.each(VARIANTS)("writes $version $compression patched=$canPatch that reads the same", async (variant) => {
    const original = await openSmall("small-18.dump");
    const bytes = await copyArchive(original, variant);
    const copy = await CustomArchiveReader.open(memorySource(bytes));
    expect(copy.toc.header.version).toBe(variant.version);
    expect(copy.toc.header.compression).toBe(variant.compression);
    for (const table of ["note", "empty"]) {
      const rows = await rowsOf(original, findEntry(original.toc, "TABLE DATA", table));
      expect(await rowsOf(copy, findEntry(copy.toc, "TABLE DATA", table))).toBe(rows);
    }
    expect(await largeObjectsOf(copy)).toEqual(await largeObjectsOf(original));
    const states = copy.toc.entries.filter((entry) => entry.hadDumper).map((entry) => entry.layout?.dataState);
    expect(new Set(states)).toEqual(new Set([variant.canPatch ? "set" : "not-set"]));
  });

  test("hands frames to the sink as they are, and gives them back as pieces", async () => {
    const { toc } = await openSmall("small-18.dump");
    const entries = toc.entries.filter((entry) => entry.tag === "note");
    const written: Uint8Array[] = [];
    const write = async (bytes: Uint8Array): Promise<void> => {
      written.push(bytes);
    };
    const header = { ...toc.header, compression: "zstd" } as const;
    const writer = await CustomArchiveWriter.create({ write }, { ...toc, header, entries });
    const texts = ["1\ta\tb\n".repeat(1000), "2\ta\tlong", " row\n3\ta\tb\n"];
    const frames = await Promise.all(texts.map((text) => compressFrame(Buffer.from(text))));
    await writer.beginTableData(findEntry(toc, "TABLE DATA", "note"));
    for (const frame of frames) await writer.writeFrame(frame);
    await writer.endTableData();
    await writer.finish();
    for (const frame of frames) expect(written.includes(frame)).toBe(true);
    const reader = await CustomArchiveReader.open(memorySource(Buffer.concat(written)));
    const pieces = [];
    for await (const piece of reader.tableData(findEntry(reader.toc, "TABLE DATA", "note"))) {
      const { encoding, bytes } = await piece.loadFrame();
      pieces.push({ text: Buffer.from(await piece.load()).toString(), encoding, bytes, continues: piece.continues });
    }
    expect(pieces).toEqual(
      texts.map((text, index) => ({ text, encoding: "zstd", bytes: frames[index], continues: index === 1 })),
    );
  });

  test.each(["zstd", "none"] as const)("create() takes lengths that are expected: %s", async (compression) => {
    const { toc } = await openSmall("small-18.dump");
    const entries = toc.entries.filter((entry) => entry.hadDumper && entry.description === "TABLE DATA");
    // The last one as COPY FROM gets it without a mark, and without rows.
    const all = [...entries, { ...entries[0]!, dumpId: 9999, tag: "bare", copyStatement: "" }];
    const data = new Map<number, readonly Buffer[]>();
    for (const { dumpId, tag } of all) {
      const texts = tag === "bare" ? [] : [`${dumpId}\ta\n`, "more\n".repeat(dumpId)].map((text) => Buffer.from(text));
      data.set(dumpId, compression === "zstd" ? await Promise.all(texts.map((text) => compressFrame(text))) : texts);
    }
    const expected = new Map(
      [...data].map(([dumpId, blocks]) => [
        dumpId,
        { blockCount: blocks.length, sizeBytes: Buffer.concat(blocks).length },
      ]),
    );
    /** Writes it all, and gives the archive and how often it was patched. */
    const write = async (lengths: typeof expected): Promise<{ bytes: Buffer; isPatched: boolean; isAll: boolean }> => {
      const sink = memorySink(true);
      let isPatched = false;
      const patch = async (offset: number, bytes: Uint8Array): Promise<void> => {
        isPatched = true;
        await sink.patch?.(offset, bytes);
      };
      const header = { ...toc.header, compression };
      const writer = await CustomArchiveWriter.create({ ...sink, patch }, { ...toc, header, entries: all }, lengths);
      const isAll = writer.expectsAllOffsets;
      for (const entry of all) {
        await writer.beginTableData(entry);
        for (const block of data.get(entry.dumpId)!) await writer.writeFrame(block);
        await writer.endTableData();
      }
      await writer.finish();
      return { bytes: sink.bytes(), isPatched, isAll };
    };
    const plain = await write(new Map());
    expect(plain).toMatchObject({ isPatched: true, isAll: false });
    expect(await write(expected)).toEqual({ bytes: plain.bytes, isPatched: false, isAll: true });
    const [firstId, first] = [...expected][0]!;
    const wrong = new Map(expected).set(firstId, { ...first, sizeBytes: first.sizeBytes + 1 });
    expect(await write(wrong)).toEqual({ bytes: plain.bytes, isPatched: true, isAll: true });
    const hostile = new Map(expected).set(firstId, { ...first, sizeBytes: Number.MAX_SAFE_INTEGER });
    expect(await write(hostile)).toEqual({ bytes: plain.bytes, isPatched: true, isAll: false });
    const partial = new Map([...expected].slice(0, 1));
    expect(await write(partial)).toEqual({ bytes: plain.bytes, isPatched: true, isAll: false });
    const reader = await CustomArchiveReader.open(memorySource(plain.bytes));
    expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "note"))).toContain("more\n");
  });

  test("refuses combinations that no pg_restore reads", async () => {
    const { toc } = await openSmall("small-18.dump");
    const create = async (change: Partial<Toc["header"]>): Promise<unknown> =>
      await CustomArchiveWriter.create(memorySink(false), { ...toc, header: { ...toc.header, ...change } });
    await expect(create({ version: "1.14", compression: "zstd" })).rejects.toThrow(/version 1.14 with zstd/);
    await expect(create({ version: "1.13" })).rejects.toThrow(/version 1.13/);
    await expect(create({ version: "1.14", compression: "lz4" })).rejects.toThrow(/version 1.14 with lz4/);
    await expect(create({ version: "1.15" })).rejects.toThrow(/large objects in groups/);
  });

  test("insists on the data of every entry, in order", async () => {
    const { toc } = await openSmall("small-18.dump");
    const writer = await CustomArchiveWriter.create(memorySink(false), toc);
    await expect(writer.finish()).rejects.toThrow(/is missing/);
    await expect(writer.beginTableData(findEntry(toc, "TABLE DATA", "note"))).rejects.toThrow(/comes next/);
  });
});

test("oldestPgRestore() is the major that added the version, or zstd", () => {
  expect(oldestPgRestore("1.14", "gzip")).toBe(12);
  expect(oldestPgRestore("1.15", "none")).toBe(16);
  expect(oldestPgRestore("1.15", "zstd")).toBe(16);
  expect(oldestPgRestore("1.16", "gzip")).toBe(17);
});
