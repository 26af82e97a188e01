import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { TextCutter } from "./text-cutter.ts";

const CHUNK_SIZE_BYTES = 32 * 1024;

/** Rows of 40 to 400 bytes that have little in common. */
function rows(count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const digest = createHash("sha512").update(`row ${index}`).digest();
    return `${index}\t${digest
      .toString("hex")
      .repeat(3)
      .slice(0, 40 + digest[0]!)}\n`;
  });
}

function chunksOf(lines: readonly string[]): string[] {
  const chunks: string[] = [];
  const cutter = new TextCutter(CHUNK_SIZE_BYTES, (text) => chunks.push(Buffer.from(text).toString("latin1")));
  cutter.push(Buffer.from(lines.join(""), "latin1"));
  cutter.finish();
  return chunks;
}

const textsOf = (...edits: ((lines: string[]) => void)[]): string[] => {
  const lines = rows(20_000);
  for (const edit of edits) edit(lines);
  return chunksOf(lines);
};

describe("ChunkBorders", () => {
  const before = textsOf();

  test("come into step again behind rows that were added, removed or changed", () => {
    const known = new Set(before);
    const edited = textsOf(
      (lines) => lines.splice(3, 1),
      (lines) => lines.splice(9_000, 20),
      (lines) => lines.splice(15_000, 0, ...rows(30)),
    );
    const missing = edited.filter((chunk) => !known.has(chunk));
    expect(before.length).toBeGreaterThan(80);
    expect(missing.length).toBeGreaterThan(2);
    expect(missing.length).toBeLessThan(10); // cut by size alone, all of them
  });

  test("leave the first chunk at the chunk size, and the others near it", () => {
    const first = before[0]!;
    expect(first.length).toBeGreaterThanOrEqual(CHUNK_SIZE_BYTES);
    expect(first.lastIndexOf("\n", first.length - 2) + 1).toBeLessThan(CHUNK_SIZE_BYTES);
    const others = before.slice(1, -1).map(({ length }) => length);
    expect(Math.min(...others)).toBeGreaterThanOrEqual((CHUNK_SIZE_BYTES * 7) / 8);
    expect(Math.max(...others)).toBeLessThan(CHUNK_SIZE_BYTES * 1.5 + 500);
    const average = others.reduce((sum, length) => sum + length, 0) / others.length;
    expect(average / CHUNK_SIZE_BYTES).toBeCloseTo(1.1, 1);
  });

  test("are at the size's limit where all rows are alike", () => {
    const lengths = chunksOf(Array.from({ length: 20_000 }, () => "the same row again and again\n")).map(
      (c) => c.length,
    );
    expect(new Set(lengths.slice(1, -1)).size).toBe(1);
  });
});
