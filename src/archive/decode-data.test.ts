import { deflateSync, zstdCompressSync, constants } from "node:zlib";

import { describe, expect, test } from "vitest";

import { decodeRuns } from "./decode-data.ts";
import { WHOLE_FRAME_BYTES_MAX } from "./limits.ts";
import type { CompressionAlgorithm } from "./toc.ts";
import { compressFrame } from "./zlib-encoder.ts";

async function* inRuns(bytes: Buffer, lengthBytes: number): AsyncGenerator<Buffer, void, void> {
  for (let start = 0; start < bytes.length; start += lengthBytes) yield bytes.subarray(start, start + lengthBytes);
}

async function decode(bytes: Buffer, compression: CompressionAlgorithm, lengthBytes = 1000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of decodeRuns(inRuns(bytes, lengthBytes), compression, "test data")) chunks.push(chunk.bytes);
  return Buffer.concat(chunks);
}

const text = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index}\trow\n`).join(""));

describe("decodeRuns()", () => {
  test("decodes one zlib stream, and nothing as nothing", async () => {
    expect(await decode(deflateSync(text), "gzip")).toEqual(text);
    expect(await decode(Buffer.alloc(0), "gzip")).toEqual(Buffer.alloc(0));
  });

  test("refuses bytes after the zlib stream, in the same run and in the next", async () => {
    const bytes = Buffer.concat([deflateSync(text), Buffer.from("more")]);
    await expect(decode(bytes, "gzip", 1 << 20)).rejects.toThrow(/after the zlib stream/);
    await expect(decode(bytes, "gzip", bytes.length - 4)).rejects.toThrow(/after the zlib stream/);
  });

  test("refuses a zlib stream that is cut off", async () => {
    await expect(decode(deflateSync(text).subarray(0, -5), "gzip")).rejects.toThrow(/could not decode test data/);
  });

  test("decodes frames with and without content size, in order", async () => {
    const streamed = zstdCompressSync(text);
    const frames = [
      await compressFrame(text),
      streamed,
      await compressFrame(Buffer.alloc(0)),
      await compressFrame(text),
    ];
    expect(await decode(Buffer.concat(frames), "zstd")).toEqual(Buffer.concat([text, text, text]));
  });

  test("decodes a frame too large to be held at once in pieces", async () => {
    const large = Buffer.alloc(WHOLE_FRAME_BYTES_MAX + 1, text);
    expect((await decode(await compressFrame(large), "zstd")).equals(large)).toBe(true);
  });

  test("refuses a frame whose checksum is wrong", async () => {
    const frame = zstdCompressSync(text, {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
      pledgedSrcSize: text.length,
    });
    frame[frame.length - 1] = (frame.at(-1) ?? 0) ^ 1;
    await expect(decode(frame, "zstd")).rejects.toThrow(/could not decode test data/);
  });

  test("passes failures of the source on as they are", async () => {
    async function* failing(): AsyncGenerator<Buffer, void, void> {
      yield deflateSync(text).subarray(0, 100);
      throw new RangeError("the source failed");
    }
    const read = async (): Promise<void> => {
      for await (const chunk of decodeRuns(failing(), "gzip", "test data")) expect(chunk.frame).toBeNull();
    };
    await expect(read()).rejects.toThrow(RangeError);
  });

  test("says that lz4 is not read", async () => {
    await expect(decode(text, "lz4")).rejects.toThrow(/lz4/);
  });
});
