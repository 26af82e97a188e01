import { describe, expect, test } from "vitest";

import { isOperatingError } from "../../src/base/errors.ts";
import {
  SMALL_ARCHIVES,
  bytesOf,
  findEntry,
  largeObjectsOf,
  readFixture,
  readWhole,
  rowsOf,
  tricklingSource,
} from "./fixtures.ts";
import type { LargeObjectPiece } from "../../src/archive/contents.ts";
import { CustomArchiveReader, readLargeObjectOids } from "../../src/archive/custom-archive-reader.ts";
import { memorySource } from "../../src/archive/random-access-source.ts";
import { readToc } from "../../src/archive/read-toc.ts";

const ARCHIVES = [...SMALL_ARCHIVES, "small-18-zstd-pipe"];

const ROWS =
  "1\tone\\ttab\t2026-01-01 00:00:00+00\n2\ttwo\\nlines \\\\ end\t2026-01-01 00:00:00+00\n3\t\\N\t2026-01-01 00:00:00+00\n";

const LARGE_OBJECTS = {
  5001: Buffer.from("first").toString("hex"),
  5002: "",
  5003: "00ff".repeat(3000),
  4294967295: Buffer.from("last").toString("hex"),
};

async function failure(bytes: Uint8Array): Promise<string> {
  try {
    await readWhole(memorySource(bytes));
    return "read";
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return error.code;
  }
}

describe("CustomArchiveReader", () => {
  test.each(ARCHIVES)("reads rows and large objects of %s", async (name) => {
    const reader = await CustomArchiveReader.open(memorySource(readFixture(`${name}.dump`)));
    expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "note"))).toBe(ROWS);
    expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "empty"))).toBe("");
    expect(await largeObjectsOf(reader)).toEqual(LARGE_OBJECTS);
  });

  test.each(ARCHIVES)("reads %s from a source that gives one byte at a time", async (name) => {
    const reader = await CustomArchiveReader.open(tricklingSource(readFixture(`${name}.dump`)));
    expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "note"))).toBe(ROWS);
    expect(await largeObjectsOf(reader)).toEqual(LARGE_OBJECTS);
  });

  test("gives large objects that can be read after the iteration has gone on", async () => {
    const reader = await CustomArchiveReader.open(memorySource(readFixture("small-15.dump")));
    const pieces: LargeObjectPiece[] = [];
    for await (const piece of reader.largeObjects(findEntry(reader.toc, "BLOBS", "BLOBS"))) pieces.push(piece);
    const contents = await Promise.all(
      pieces.map(async (piece) => [piece.oid, (await bytesOf(piece)).toString("hex")]),
    );
    expect(Object.fromEntries(contents)).toEqual(LARGE_OBJECTS);
  });

  test.each(ARCHIVES)("refuses every truncation of %s", async (name) => {
    const bytes = readFixture(`${name}.dump`);
    const { dataStartOffset } = await readToc(bytes);
    for (let length = dataStartOffset; length < bytes.length; length += 1) {
      expect(await failure(bytes.subarray(0, length)), `length ${length}`).toMatch(/archive_invalid|corrupt/);
    }
    expect(await failure(bytes)).toBe("read");
  });

  test.each(["small-18", "small-18-zstd-pipe"])(
    "with a bit in any byte of the data of %s flipped reads or refuses",
    async (name) => {
      const original = readFixture(`${name}.dump`);
      const { dataStartOffset } = await readToc(original);
      const bytes = Buffer.from(original);
      const outcomes = new Map<string, number>();
      for (let index = dataStartOffset; index < original.length; index += 1) {
        const byte = original[index] ?? 0;
        bytes[index] = byte ^ (1 << (index & 7));
        const outcome = await failure(bytes);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        bytes[index] = byte;
      }
      // zlib's checksum finds each flip in its streams; what is left to be read are OIDs and zstd without a checksum.
      expect([...outcomes.keys()].every((key) => /read|archive_invalid|corrupt/.test(key))).toBe(true);
      expect((outcomes.get("archive_invalid") ?? 0) + (outcomes.get("corrupt") ?? 0)).toBeGreaterThan(100);
    },
  );
});

describe("readLargeObjectOids()", () => {
  test("lists the OIDs of each BLOBS entry", async () => {
    const source = memorySource(readFixture("small-18-zstd-pipe.dump"));
    const oids = await readLargeObjectOids(source, await readToc(source));
    expect([...oids.values()].toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0))).toEqual([
      [5001, 5003],
      [5002],
      [4294967295],
    ]);
  });
});
