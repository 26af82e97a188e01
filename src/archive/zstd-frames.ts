// Cuts a stream of zstd frames at frame ends, without decoding: node:zlib's zstd streams lose the second of two frames
// that arrive together, so each frame is given to a decoder of its own.
//
//   frame         magic FD2FB528, descriptor byte, window byte (unless single segment), dictionary id (0, 1, 2 or 4),
//                 content size (0, 1, 2, 4 or 8), blocks, 4 bytes of checksum when the descriptor says so
//   block header  3 bytes: bit 0 last, bits 1-2 type (0 raw, 1 repeated byte, 2 compressed), the rest size
//
// Skippable frames are refused: pg_dump writes none. Source: RFC 8878, sections 3.1.1 and 3.1.1.2.

import { corruptData } from "./archive-errors.ts";

const MAGIC = 0xfd2f_b528;
const FRAME_HEADER_BYTES_MAX = 18;
const BLOCK_SIZE_BYTES_MAX = 128 * 1024;

/** Bytes of one frame: a frame is one part or several, and no part holds bytes of two. */
export interface FramePart {
  readonly bytes: Buffer;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  /** What the frame header says its content is long, if it does. */
  readonly contentSizeBytes: number | null;
}

/** Cuts the input at frame ends. Throws OperatingError "corrupt", naming `field`, when it is not whole frames. */
export async function* splitZstdFrames(
  input: AsyncIterable<Buffer>,
  field: string,
): AsyncGenerator<FramePart, void, void> {
  const scanner = new FrameScanner(field);
  let kept: Buffer = Buffer.alloc(0);
  for await (const arrived of input) {
    let bytes = kept.length === 0 ? arrived : Buffer.concat([kept, arrived]);
    for (;;) {
      const part = scanner.next(bytes);
      if (part === null) break;
      yield part;
      bytes = bytes.subarray(part.bytes.length);
    }
    kept = bytes;
  }
  const rest = scanner.atEnd(kept);
  if (rest !== null) yield rest;
}

class FrameScanner {
  readonly #field: string;
  /** Null between frames. */
  #frame: { contentSizeBytes: number | null; hasChecksum: boolean; isStarted: boolean } | null = null;
  #phase: "blocks" | "checksum" = "blocks";
  /** Bytes of the present block or checksum that are still to come. */
  #left = 0;
  #isLastBlock = false;

  constructor(field: string) {
    this.#field = field;
  }

  /** The longest part at the start of `bytes` that lies in one frame, or null when more input is needed first. */
  next(bytes: Buffer): FramePart | null {
    let position = 0;
    if (this.#frame === null) {
      const header = parseFrameHeader(bytes, this.#field);
      if (header === null) return null;
      this.#frame = { contentSizeBytes: header.contentSizeBytes, hasChecksum: header.hasChecksum, isStarted: false };
      this.#phase = "blocks";
      this.#left = 0;
      this.#isLastBlock = false;
      position = header.lengthBytes;
    }
    for (;;) {
      const step = Math.min(this.#left, bytes.length - position);
      position += step;
      this.#left -= step;
      if (this.#left > 0) return this.#part(bytes, position, false);
      if (this.#phase === "checksum") return this.#part(bytes, position, true);
      if (this.#isLastBlock) {
        if (!this.#frame.hasChecksum) return this.#part(bytes, position, true);
        this.#phase = "checksum";
        this.#left = 4;
        continue;
      }
      if (bytes.length - position < 3) return this.#part(bytes, position, false);
      position += this.#enterBlock(bytes, position);
    }
  }

  /** A part only when it moves things on: an empty one would make the caller loop. */
  #part(bytes: Buffer, length: number, isLast: boolean): FramePart | null {
    const frame = this.#frame;
    if (frame === null || (length === 0 && !isLast)) return null;
    const isFirst = !frame.isStarted;
    frame.isStarted = true;
    if (isLast) this.#frame = null;
    return { bytes: bytes.subarray(0, length), isFirst, isLast, contentSizeBytes: frame.contentSizeBytes };
  }

  #enterBlock(bytes: Buffer, position: number): number {
    const header = bytes.readUIntLE(position, 3);
    const type = (header >> 1) & 3;
    const sizeBytes = header >> 3;
    if (type === 3 || (type !== 1 && sizeBytes > BLOCK_SIZE_BYTES_MAX)) {
      throw corruptData(this.#field, "a zstd block header is not valid");
    }
    this.#isLastBlock = (header & 1) === 1;
    this.#left = type === 1 ? 1 : sizeBytes;
    return 3;
  }

  /** Throws unless the input ended between two frames. */
  atEnd(rest: Buffer): FramePart | null {
    if (this.#frame !== null || rest.length > 0) throw corruptData(this.#field, "the last zstd frame is cut off");
    return null;
  }
}

interface FrameHeader {
  readonly lengthBytes: number;
  readonly contentSizeBytes: number | null;
  readonly hasChecksum: boolean;
}

/** The frame header at the start of `bytes`, or null when it is not all there. */
function parseFrameHeader(bytes: Buffer, field: string): FrameHeader | null {
  if (bytes.length < 5) return null;
  if (bytes.readUInt32LE(0) !== MAGIC) throw corruptData(field, "it is not a zstd frame");
  const descriptor = bytes[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowBytes = isSingleSegment ? 0 : 1;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** sizeFlag;
  const sizeStart = 5 + windowBytes + dictionaryBytes;
  const lengthBytes = sizeStart + sizeBytes;
  if (lengthBytes > FRAME_HEADER_BYTES_MAX || (descriptor & 0x08) !== 0) {
    throw corruptData(field, "a zstd frame header is not valid");
  }
  if (bytes.length < lengthBytes) return null;
  const hasChecksum = (descriptor & 0x04) !== 0;
  return { lengthBytes, contentSizeBytes: readContentSize(bytes, sizeStart, sizeBytes), hasChecksum };
}

function readContentSize(bytes: Buffer, start: number, sizeBytes: number): number | null {
  if (sizeBytes === 0) return null;
  if (sizeBytes === 2) return bytes.readUInt16LE(start) + 256;
  if (sizeBytes === 8) return Number(bytes.readBigUInt64LE(start));
  return bytes.readUIntLE(start, sizeBytes);
}
