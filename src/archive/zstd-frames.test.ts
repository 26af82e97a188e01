import { constants, zstdCompressSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { splitZstdFrames } from "./zstd-frames.ts";

async function* cut(bytes: Buffer, lengths: readonly number[]): AsyncGenerator<Buffer, void, void> {
  let position = 0;
  for (let index = 0; position < bytes.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    yield bytes.subarray(position, position + length);
    position += length;
  }
}

async function framesOf(bytes: Buffer, lengths: readonly number[]): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  let parts: Buffer[] = [];
  for await (const part of splitZstdFrames(cut(bytes, lengths), "test data")) {
    expect(part.isFirst).toBe(parts.length === 0);
    parts.push(part.bytes);
    if (!part.isLast) continue;
    frames.push(Buffer.concat(parts));
    parts = [];
  }
  expect(parts).toEqual([]);
  return frames;
}

function compress(content: Buffer, hasChecksum: boolean, hasSize: boolean): Buffer {
  const params = { [constants.ZSTD_c_checksumFlag]: hasChecksum ? 1 : 0 };
  return zstdCompressSync(content, hasSize ? { params, pledgedSrcSize: content.length } : { params });
}

describe("splitZstdFrames()", () => {
  test("gives back the frames whatever the cuts of the input", async () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat({ max: 300_000 }).map((length) => new Uint8Array(length)),
    );
    const frames = fc.array(fc.tuple(content, fc.boolean(), fc.boolean()), { maxLength: 4 });
    const lengths = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(frames, lengths, async (contents, cuts) => {
        const expected = contents.map(([bytes, checksum, size]) => compress(Buffer.from(bytes), checksum, size));
        expect(await framesOf(Buffer.concat(expected), cuts)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("refuses every truncation", async () => {
    const frame = compress(Buffer.from("a row\n".repeat(50)), true, true);
    for (let length = 1; length < frame.length; length += 1) {
      await expect(framesOf(frame.subarray(0, length), [7])).rejects.toThrow(/cut off|not a zstd frame/);
    }
  });

  test("refuses bytes that are no frame", async () => {
    await expect(framesOf(Buffer.from("not a frame"), [4])).rejects.toThrow("could not decode test data: it is not");
  });
});
