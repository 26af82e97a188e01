// Decodes the runs of one entry or large object: plain bytes, one zlib stream, lz4 or zstd frames. Memory is bounded
// whatever the data: streams are decoded in pieces, and a frame only at once when it says that it is small.

import { Readable, pipeline, type Transform } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, createInflate, createZstdDecompress, zstdDecompress } from "node:zlib";

import { isOperatingError, messageOf } from "../base/errors.ts";
import { corruptData } from "./archive-errors.ts";
import { WHOLE_FRAME_BYTES_MAX } from "./limits.ts";
import { decodeLz4Frames } from "./lz4-frames.ts";
import type { CompressionAlgorithm } from "./toc.ts";
import { splitZstdFrames, type FramePart } from "./zstd-frames.ts";

/** Whole frames that are decoded at once. */
const FRAMES_AHEAD_MAX = 2;

const STREAM_CHUNK_BYTES = 512 * 1024;

/** The smallest chunkSize that node:zlib takes. */
const ZLIB_CHUNK_BYTES_MIN = 64;

const zstdDecompressAsync = promisify(zstdDecompress);

/** Decoded bytes; `frame` is the zstd frame that holds exactly them, when it was at hand. */
export interface DecodedChunk {
  readonly bytes: Buffer;
  readonly frame: Buffer | null;
}

/** Decodes runs; "gzip-file" is a file of gzip, "gzip" a bare zlib stream. Throws OperatingError "corrupt", naming `field`, for anything but whole data. */
export async function* decodeRuns(
  runs: AsyncIterable<Buffer>,
  compression: CompressionAlgorithm | "gzip-file",
  field: string,
): AsyncGenerator<DecodedChunk, void, void> {
  if (compression === "zstd") {
    yield* decodeZstd(runs, field);
    return;
  }
  for await (const bytes of plainRuns(runs, compression, field)) yield { bytes, frame: null };
}

function plainRuns(
  runs: AsyncIterable<Buffer>,
  compression: "none" | "gzip" | "gzip-file" | "lz4",
  field: string,
): AsyncIterable<Buffer> {
  if (compression === "gzip" || compression === "gzip-file") return inflateRuns(runs, compression, field);
  return compression === "lz4" ? decodeLz4Frames(runs, field) : runs;
}

/**
 * One zlib stream. No run at all is empty data in a custom archive (pg_dump 16 and later, of an empty large object); a file
 * of gzip has its header even then.
 */
async function* inflateRuns(
  runs: AsyncIterable<Buffer>,
  container: "gzip" | "gzip-file",
  field: string,
): AsyncGenerator<Buffer, void, void> {
  let sizeBytes = 0;
  let isEmpty = true;
  const iterator = runs[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true && container === "gzip-file") throw corruptData(field, "the file is empty");
  if (first.done === true) return;
  const options = { chunkSize: STREAM_CHUNK_BYTES };
  const inflate = container === "gzip" ? createInflate(options) : createGunzip(options);
  async function* counted(): AsyncGenerator<Buffer, void, void> {
    for (let next = first; next.done !== true; next = await iterator.next()) {
      sizeBytes += next.value.length;
      isEmpty = false;
      yield next.value;
    }
  }
  yield* transformed(counted(), inflate, field);
  if (!isEmpty && inflate.bytesWritten !== sizeBytes) throw corruptData(field, "there are bytes after the zlib stream");
}

async function* decodeZstd(runs: AsyncIterable<Buffer>, field: string): AsyncGenerator<DecodedChunk, void, void> {
  const parts = splitZstdFrames(runs, field);
  // Whole frames being decoded while earlier ones are handed on, in order.
  const ahead: Promise<DecodedChunk>[] = [];
  try {
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      const first = next.value;
      const { contentSizeBytes } = first;
      if (contentSizeBytes !== null && contentSizeBytes <= WHOLE_FRAME_BYTES_MAX) {
        ahead.push(startDecoding(await gatherFrame(first, parts, field), contentSizeBytes, field));
        while (ahead.length >= FRAMES_AHEAD_MAX) yield* firstOf(ahead);
        continue;
      }
      while (ahead.length > 0) yield* firstOf(ahead);
      const stream = createZstdDecompress({ chunkSize: STREAM_CHUNK_BYTES });
      for await (const bytes of transformed(frameBytes(first, parts), stream, field)) yield { bytes, frame: null };
    }
    while (ahead.length > 0) yield* firstOf(ahead);
  } finally {
    await parts.return();
  }
}

function startDecoding(frame: Buffer, contentSizeBytes: number, field: string): Promise<DecodedChunk> {
  const decoding = decodeFrame(frame, contentSizeBytes, field).then((bytes) => ({ bytes, frame }));
  // Its failure is thrown where it is awaited, which may be never.
  decoding.catch(() => {});
  return decoding;
}

async function* firstOf(ahead: Promise<DecodedChunk>[]): AsyncGenerator<DecodedChunk, void, void> {
  const first = ahead.shift();
  if (first !== undefined) yield await first;
}

/** The rest of a frame whose first part was taken; leaves `parts` at the next frame. */
async function* frameBytes(first: FramePart, parts: AsyncIterator<FramePart>): AsyncGenerator<Buffer, void, void> {
  yield first.bytes;
  for (let isLast = first.isLast; !isLast;) {
    const next = await parts.next();
    if (next.done === true) return;
    isLast = next.value.isLast;
    yield next.value.bytes;
  }
}

/** A frame of at most WHOLE_FRAME_BYTES_MAX of content in one buffer; refuses one that is absurdly long. */
async function gatherFrame(first: FramePart, parts: AsyncIterator<FramePart>, field: string): Promise<Buffer> {
  if (first.isLast) return first.bytes;
  const gathered: Buffer[] = [];
  let lengthBytes = 0;
  for await (const bytes of frameBytes(first, parts)) {
    gathered.push(bytes);
    lengthBytes += bytes.length;
    if (lengthBytes > 2 * WHOLE_FRAME_BYTES_MAX) throw corruptData(field, "a zstd frame is longer than its content");
  }
  return Buffer.concat(gathered, lengthBytes);
}

async function decodeFrame(frame: Buffer, contentSizeBytes: number, field: string): Promise<Buffer> {
  const options = {
    maxOutputLength: Math.max(contentSizeBytes, 1),
    // A chunk that is filled to the brim makes node:zlib set aside another one.
    chunkSize: contentSizeBytes + ZLIB_CHUNK_BYTES_MIN,
  };
  let bytes: Buffer;
  try {
    bytes = await zstdDecompressAsync(frame, options);
  } catch (error) {
    throw corruptData(field, messageOf(error), error);
  }
  if (bytes.length !== contentSizeBytes) throw corruptData(field, "a zstd frame is shorter than it says");
  return bytes;
}

/** The output of a decoder; its failures become OperatingError "corrupt", those of the input stay as they are. */
async function* transformed(
  input: AsyncIterable<Buffer>,
  transform: Transform,
  field: string,
): AsyncGenerator<Buffer, void, void> {
  let inputFailure: { error: unknown } | null = null;
  async function* watched(): AsyncGenerator<Buffer, void, void> {
    try {
      yield* input;
    } catch (error) {
      inputFailure = { error };
      throw error;
    }
  }
  pipeline(Readable.from(watched(), { objectMode: true, highWaterMark: 1 }), transform, () => {
    // Failures reach the reader of the transform, below.
  });
  try {
    for await (const bytes of transform) yield bytes;
  } catch (error) {
    const failure = inputFailure as { error: unknown } | null;
    if (failure !== null) throw failure.error;
    if (isOperatingError(error)) throw error;
    throw corruptData(field, messageOf(error), error);
  }
}
