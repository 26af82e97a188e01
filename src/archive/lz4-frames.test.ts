import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isOperatingError } from "../base/errors.ts";
import { decodeLz4Block, encodeLz4Block, lz4BlockBound } from "./lz4-block.ts";
import { decodeLz4Frames, Lz4FrameEncoder } from "./lz4-frames.ts";
import { xxh32 } from "./xxh32.ts";

const TEXT = "hello hello hello hello hello hello hello lz4\n".repeat(3);

/** TEXT as the lz4 program writes it, with linked blocks, block checksums, content size and content checksum. */
const FROM_LZ4 = Buffer.from(
  "04224d187c408a00000000000000801f0000006f68656c6c6f200600114f6c7a340a2800110224000f2e001a50206c7a340a7075521600000000508c9b84",
  "hex",
);

async function* cut(bytes: Uint8Array, lengthBytes: number): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += lengthBytes) yield Buffer.from(bytes.subarray(at, at + lengthBytes));
}

async function decoded(bytes: Uint8Array, lengthBytes = 1 << 20): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of decodeLz4Frames(cut(bytes, lengthBytes), "test data")) parts.push(part);
  return Buffer.concat(parts);
}

function frameOf(...parts: Uint8Array[]): Buffer {
  const encoder = new Lz4FrameEncoder();
  return Buffer.concat([...parts.flatMap((part) => encoder.encode(part)), ...encoder.end()]);
}

async function outcome(bytes: Uint8Array): Promise<string> {
  try {
    return (await decoded(bytes)).toString("latin1");
  } catch (error) {
    if (!isOperatingError(error, "corrupt")) throw error;
    return "corrupt";
  }
}

test("xxh32() gives the known sums", () => {
  expect(xxh32(Buffer.from(""))).toBe(0x02cc5d05);
  expect(xxh32(Buffer.from("abc"))).toBe(0x32d153ff);
  expect(xxh32(Buffer.from("Nobody inspects the spammish repetition"))).toBe(0xe2293b2f);
});

describe("decodeLz4Frames()", () => {
  test("reads what lz4 wrote, a byte at a time too, and frames one after another", async () => {
    expect((await decoded(FROM_LZ4)).toString()).toBe(TEXT);
    expect((await decoded(FROM_LZ4, 1)).toString()).toBe(TEXT);
    expect((await decoded(Buffer.concat([FROM_LZ4, FROM_LZ4]))).toString()).toBe(TEXT + TEXT);
    expect((await decoded(Buffer.alloc(0))).length).toBe(0);
  });

  test("gives back what Lz4FrameEncoder was given", async () => {
    const word = fc.constantFrom("a", "bc", "row\t1\n", "\u0000", "long enough to be a match");
    const text = fc.array(word, { maxLength: 300 }).map((words) => Buffer.from(words.join("")));
    const parts = fc.array(fc.oneof(text, fc.uint8Array({ maxLength: 500 })), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(parts, fc.integer({ min: 1, max: 999 }), async (given, step) => {
        expect(Buffer.compare(await decoded(frameOf(...given), step), Buffer.concat(given))).toBe(0);
      }),
    );
  });

  test("reads matches over block borders and blocks that could not be made smaller", async () => {
    const noise = Buffer.alloc(3 << 20);
    for (let at = 0, seed = 7; at < noise.length; at += 1) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      noise[at] = seed >>> 24;
    }
    const given = Buffer.concat([noise, Buffer.alloc(3 << 20, "abc")]);
    const frame = frameOf(given);
    expect(frame.length).toBeLessThan(noise.length * 1.02);
    expect((await decoded(frame)).equals(given)).toBe(true);
  });

  test("refuses every truncation and every flipped bit", async () => {
    for (let length = 1; length < FROM_LZ4.length; length += 1) {
      expect(await outcome(FROM_LZ4.subarray(0, length)), `length ${length}`).toBe("corrupt");
    }
    for (let bit = 0; bit < FROM_LZ4.length * 8; bit += 1) {
      const flipped = Buffer.from(FROM_LZ4);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(await outcome(flipped), `bit ${bit}`).toBe("corrupt");
    }
  });

  test("refuses dictionaries, skippable frames, and bytes after the frame", async () => {
    expect(await outcome(Buffer.from("502a4d1804000000abcdabcd", "hex"))).toBe("corrupt");
    expect(await outcome(Buffer.concat([FROM_LZ4, Buffer.from("x")]))).toBe("corrupt");
    await expect(decoded(Buffer.from("04224d18414000000000ff", "hex"))).rejects.toThrow(/dictionary/);
  });
});

describe("decodeLz4Block()", () => {
  test("stays within its room whatever the block says", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (block) => {
        const target = new Uint8Array(64).fill(0xee);
        const end = decodeLz4Block(block, target, { start: 16, limit: 48, windowStart: 8 });
        expect(end === -1 || (end >= 16 && end <= 48)).toBe(true);
        expect([...target.subarray(0, 16), ...target.subarray(48)].every((byte) => byte === 0xee)).toBe(true);
      }),
    );
  });

  test("a run of 255s that claims gigabytes is refused without effort", () => {
    const block = Buffer.concat([Buffer.from([0xff]), Buffer.alloc(1 << 16, 255)]);
    expect(decodeLz4Block(block, new Uint8Array(64), { start: 0, limit: 64, windowStart: 0 })).toBe(-1);
  });

  test("encodeLz4Block() never needs more room than lz4BlockBound() says", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        const target = new Uint8Array(lz4BlockBound(bytes.length));
        expect(encodeLz4Block(bytes, target)).toBeLessThanOrEqual(target.length);
      }),
    );
  });
});
