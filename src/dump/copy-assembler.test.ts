import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { CopyAssembler } from "./copy-assembler.ts";
import { TextCutter } from "./text-cutter.ts";

const CHUNK_SIZE_BYTES = 64 * 1024;

interface Cut {
  readonly text: string;
  readonly rowCount: number;
  readonly continues: boolean;
}

function frame(rows: readonly string[]): Buffer {
  const messages = rows.map((row) => {
    const header = Buffer.from([0x64, 0, 0, 0, 0]);
    header.writeUInt32BE(row.length + 4, 1);
    return Buffer.concat([header, Buffer.from(row, "latin1")]);
  });
  return Buffer.concat([...messages, Buffer.from([0x63, 0, 0, 0, 4])]);
}

function assemble(stream: Buffer, readSizes: readonly number[]): { cuts: Cut[]; types: number[] } {
  const cuts: Cut[] = [];
  const types: number[] = [];
  const assembler = new CopyAssembler(CHUNK_SIZE_BYTES, {
    chunk: (text, rowCount, continues) =>
      cuts.push({ text: Buffer.from(text).toString("latin1"), rowCount, continues }),
    message: (type) => types.push(type),
  });
  let position = 0;
  for (let index = 0; position < stream.length; index += 1) {
    const room = assembler.reserve();
    const wanted = readSizes.length === 0 ? room.length : readSizes[index % readSizes.length]!;
    const taken = Math.min(wanted, room.length, stream.length - position);
    room.set(stream.subarray(position, position + taken));
    position += taken;
    assembler.advance(taken);
  }
  assembler.finish();
  return { cuts, types };
}

function cutText(text: string, pieceSizes: readonly number[]): Cut[] {
  const cuts: Cut[] = [];
  const cutter = new TextCutter(CHUNK_SIZE_BYTES, (bytes, rowCount, continues) => {
    cuts.push({ text: Buffer.from(bytes).toString("latin1"), rowCount, continues });
  });
  let position = 0;
  for (let index = 0; position < text.length; index += 1) {
    const end = Math.min(text.length, position + pieceSizes[index % pieceSizes.length]!);
    cutter.push(Buffer.from(text.slice(position, end), "latin1"));
    position = end;
  }
  cutter.finish();
  return cuts;
}

const rowLengths = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 3000 }) },
    fc.integer({ min: 1, max: 5 * CHUNK_SIZE_BYTES }),
  ),
  { maxLength: 60 },
);
/** Small rows up to behind the chunk size, where no border may come for half a chunk, and then one that is larger than that. */
const smallAndLarge = fc
  .array(
    fc.tuple(
      fc.integer({ min: 600, max: 2000 }),
      fc.integer({ min: 40, max: 160 }),
      fc.integer({ min: Math.ceil(0.6 * CHUNK_SIZE_BYTES), max: 3 * CHUNK_SIZE_BYTES }),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.flatMap(([count, small, large]) => [...Array.from({ length: count }, () => small), large]));

/** Rows of these lengths that have little in common. */
function differentRows(lengths: readonly number[]): string[] {
  return lengths.map((length, index) => `${`${index * 7919} `.repeat(length / 2).slice(0, length - 1)}\n`);
}

/** The rows that end in each chunk, and whether it ends within one. */
function expectRightCounts(cuts: readonly Cut[], rows: readonly string[]): void {
  expect(cuts.map(({ text }) => text).join("") === rows.join("")).toBe(true);
  expect(cuts.map(({ rowCount }) => rowCount)).toEqual(cuts.map(({ text }) => text.split("\n").length - 1));
  expect(cuts.map(({ continues }) => continues)).toEqual(cuts.map(({ text }) => !text.endsWith("\n")));
  expect(cuts.reduce((sum, { rowCount }) => sum + rowCount, 0)).toBe(rows.length);
}

const readSizes = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 8 });

describe("CopyAssembler", () => {
  test("gives the rows back whole, in bounded chunks cut at row ends, whatever the reads were", () => {
    fc.assert(
      fc.property(rowLengths, readSizes, (lengths, sizes) => {
        const rows = lengths.map((length, index) => `${String(index % 10).repeat(length - 1)}\n`);
        const { cuts, types } = assemble(frame(rows), sizes);
        expect(cuts.map(({ text }) => text).join("")).toBe(rows.join(""));
        expect(cuts.reduce((sum, { rowCount }) => sum + rowCount, 0)).toBe(rows.length);
        for (const cut of cuts) {
          expect(cut.text.length).toBeLessThanOrEqual(2 * CHUNK_SIZE_BYTES);
          expect(cut.text.endsWith("\n") || cut.continues).toBe(true);
        }
        expect(types).toEqual([0x63]);
        expect(cuts).toEqual(assemble(frame(rows), []).cuts);
      }),
      { numRuns: 60 },
    );
  });

  test("ends a chunk that is large enough at the row end before a row that is split", () => {
    fc.assert(
      fc.property(smallAndLarge, readSizes, (lengths, sizes) => {
        const rows = differentRows(lengths);
        expectRightCounts(assemble(frame(rows), sizes).cuts, rows);
      }),
      { numRuns: 30 },
    );
  });

  test("takes a stream one byte at a time", () => {
    const rows = ["a\tb\n", "\n", "c\n"];
    expect(assemble(frame(rows), [1]).cuts).toEqual([{ text: "a\tb\n\nc\n", rowCount: 3, continues: false }]);
  });
});

describe("TextCutter", () => {
  test("cuts exactly as CopyAssembler does", () => {
    fc.assert(
      fc.property(rowLengths, readSizes, (lengths, sizes) => {
        const rows = lengths.map((length, index) => `${String(index % 10).repeat(length - 1)}\n`);
        expect(cutText(rows.join(""), sizes)).toEqual(assemble(frame(rows), []).cuts);
      }),
      { numRuns: 60 },
    );
  });

  test("cuts as CopyAssembler does, and counts each row once, where a row is split behind the chunk size", () => {
    fc.assert(
      fc.property(smallAndLarge, readSizes, (lengths, sizes) => {
        const rows = differentRows(lengths);
        const cuts = cutText(rows.join(""), sizes);
        expectRightCounts(cuts, rows);
        expect(cuts).toEqual(assemble(frame(rows), []).cuts);
      }),
      { numRuns: 30 },
    );
  });
});
