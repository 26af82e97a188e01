import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { END_OF_DATA_MARK, cutPieces, withoutEndMark } from "./cut-pieces.ts";
import type { DataPiece } from "./contents.ts";
import type { DecodedChunk } from "./decode-data.ts";
import { PIECE_TARGET_BYTES } from "./limits.ts";

async function* chunks(texts: readonly (string | Uint8Array)[]): AsyncGenerator<DecodedChunk, void, void> {
  for (const text of texts) yield { bytes: Buffer.from(text), frame: null };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function textOf(items: AsyncIterable<DecodedChunk>): Promise<string> {
  return (await collect(items)).map(({ bytes }) => bytes.toString()).join("");
}

describe("withoutEndMark()", () => {
  test("takes the mark away wherever the chunks are cut", async () => {
    const rows = fc.array(fc.constantFrom("1\ta\n", "\\N\n", "\\\\.\n", "\n", "x".repeat(30)), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 9 }), async (lines, length) => {
        const text = lines.map((line) => `${line.trimEnd()}\n`).join("");
        const marked = Buffer.concat([Buffer.from(text), END_OF_DATA_MARK]);
        const cuts: Buffer[] = [];
        for (let start = 0; start < marked.length; start += length) cuts.push(marked.subarray(start, start + length));
        expect(await textOf(withoutEndMark(chunks(cuts)))).toBe(text);
      }),
    );
  });

  test("leaves data alone that does not end with the mark in a line of its own", async () => {
    for (const text of ["", "a\n", "a\\.\n\n\n", "\\.\n", "a\n\\.\n\n\n\n"]) {
      expect(await textOf(withoutEndMark(chunks([text])))).toBe(text);
    }
  });
});

describe("cutPieces()", () => {
  const isWhole = (bytes: Uint8Array): boolean => bytes.at(-1) === 0x0a;

  async function pieces(texts: readonly (string | Uint8Array)[]): Promise<{ piece: DataPiece; bytes: Uint8Array }[]> {
    const result = [];
    for (const piece of await collect(cutPieces(chunks(texts), true)))
      result.push({ piece, bytes: await piece.load() });
    return result;
  }

  test("counts no rows in what is not COPY text", async () => {
    const cut = await collect(cutPieces(chunks(["INSERT INTO a VALUES ('\n');\n"]), false));
    expect(cut.map(({ rowCount }) => rowCount)).toEqual([null]);
  });

  test("cuts at row ends, near the target", async () => {
    const row = `${"x".repeat(999)}\n`;
    const texts = Array.from({ length: 60 }, () => row.repeat(150));
    const cut = await pieces(texts);
    expect(Buffer.concat(cut.map(({ bytes }) => bytes)).toString()).toBe(texts.join(""));
    expect(cut.every(({ piece, bytes }) => isWhole(bytes) && !piece.continues)).toBe(true);
    expect(cut.reduce((sum, { piece }) => sum + (piece.rowCount ?? 0), 0)).toBe(60 * 150);
    expect(cut.every(({ piece }) => piece.rawLengthBytes < PIECE_TARGET_BYTES + 200_000)).toBe(true);
    expect(cut.length).toBe(5);
  });

  test("lets a long row run over several pieces, each but the last continuing", async () => {
    const part = "y".repeat(1_000_000);
    const cut = await pieces(["1\n", part, part, part, part, part, "\n2\n"]);
    expect(cut.map(({ piece }) => piece.continues)).toEqual([false, true, false]);
    expect(Buffer.concat(cut.map(({ bytes }) => bytes)).length).toBe(2 + 5_000_000 + 3);
  });

  test("never says of the last piece that it continues", async () => {
    expect((await pieces(["a\nb"])).map(({ piece }) => piece.continues)).toEqual([false]);
  });
});
