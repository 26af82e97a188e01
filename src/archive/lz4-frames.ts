// LZ4 frames, decoded and written. Checksums are checked where the frame has them (pg_dump writes only that of the header,
// we write that of the content too). Memory: one block of at most 4 MiB and as much again decoded.
//
//   frame   magic 184D2204, flags, block size, content size (8, if flagged), checksum of these (1)
//   flags   bits 7-6 version 01, 5 blocks are independent, 4 block checksums, 3 content size, 2 content checksum, 0 dictionary
//   blocks  4 bytes of length, the highest bit: stored as it is; bytes; 4 of checksum, if flagged; at the end a length of 0
//   end     4 bytes of checksum of the content, if flagged
//
// Skippable frames and dictionaries are refused. Source: LZ4 Frame Format Description, 1.6.

import { corruptData } from "./archive-errors.ts";
import { decodeLz4Block, encodeLz4Block, lz4BlockBound } from "./lz4-block.ts";
import { Xxh32, xxh32 } from "./xxh32.ts";

const MAGIC = 0x184d_2204;
const WINDOW_BYTES = 64 * 1024;
/** Small blocks are decoded into a buffer of this size and handed on together. */
const GATHERED_BYTES = 512 * 1024;
const STORED = 0x8000_0000;

/** Bytes of an asynchronous input, taken in any lengths. */
class InputBytes {
  readonly #input: AsyncIterator<Buffer>;
  readonly #field: string;
  #held: Buffer = Buffer.alloc(0);

  constructor(input: AsyncIterable<Buffer>, field: string) {
    this.#input = input[Symbol.asyncIterator]();
    this.#field = field;
  }

  async take(length: number): Promise<Buffer> {
    if (this.#held.length < length && (await this.#fill(length)) < length) {
      throw corruptData(this.#field, "the lz4 frame is cut off");
    }
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  async isAtEnd(): Promise<boolean> {
    return this.#held.length === 0 && (await this.#fill(1)) === 0;
  }

  async close(): Promise<void> {
    await this.#input.return?.();
  }

  /** Gathers at least `length` bytes if there are so many; gives how many there are. */
  async #fill(length: number): Promise<number> {
    const parts = [this.#held];
    let held = this.#held.length;
    while (held < length) {
      const next = await this.#input.next();
      if (next.done === true) break;
      parts.push(next.value);
      held += next.value.length;
    }
    this.#held = Buffer.concat(parts, held);
    return held;
  }
}

interface FrameHeader {
  readonly blockSizeBytesMax: number;
  readonly areBlocksIndependent: boolean;
  readonly hasBlockChecksums: boolean;
  readonly contentSizeBytes: bigint | null;
  readonly hasContentChecksum: boolean;
}

/** Decodes whole frames, one after another. Throws OperatingError "corrupt", naming `field`, for anything else. */
export async function* decodeLz4Frames(
  input: AsyncIterable<Buffer>,
  field: string,
): AsyncGenerator<Buffer, void, void> {
  const bytes = new InputBytes(input, field);
  try {
    while (!(await bytes.isAtEnd())) yield* decodeFrame(bytes, await readHeader(bytes, field), field);
  } finally {
    await bytes.close();
  }
}

async function readHeader(bytes: InputBytes, field: string): Promise<FrameHeader> {
  const start = await bytes.take(6);
  if (start.readUInt32LE(0) !== MAGIC) throw corruptData(field, "it is not an lz4 frame");
  const flags = start[4]!;
  const sizeCode = (start[5]! >> 4) & 7;
  if (flags >> 6 !== 1 || (flags & 2) !== 0 || (start[5]! & 0x8f) !== 0 || sizeCode < 4) {
    throw corruptData(field, "an lz4 frame header is not valid");
  }
  if ((flags & 1) !== 0) throw corruptData(field, "the lz4 frame needs a dictionary");
  const size = (flags & 8) === 0 ? Buffer.alloc(0) : await bytes.take(8);
  const [checksum] = await bytes.take(1);
  if (checksum !== ((xxh32(Buffer.concat([start.subarray(4), size])) >> 8) & 0xff)) {
    throw corruptData(field, "the checksum of an lz4 frame header is wrong");
  }
  return {
    blockSizeBytesMax: 2 ** (8 + 2 * sizeCode),
    areBlocksIndependent: (flags & 0x20) !== 0,
    hasBlockChecksums: (flags & 0x10) !== 0,
    contentSizeBytes: size.length === 0 ? null : size.readBigUInt64LE(),
    hasContentChecksum: (flags & 4) !== 0,
  };
}

async function* decodeFrame(bytes: InputBytes, header: FrameHeader, field: string): AsyncGenerator<Buffer, void, void> {
  const output = new FrameOutput(header);
  for (;;) {
    const length = (await bytes.take(4)).readUInt32LE();
    if (length === 0) break;
    const blockBytes = length % STORED;
    if (blockBytes > header.blockSizeBytesMax) throw corruptData(field, "an lz4 block is too long");
    const block = await bytes.take(blockBytes);
    if (header.hasBlockChecksums && (await bytes.take(4)).readUInt32LE() !== xxh32(block)) {
      throw corruptData(field, "the checksum of an lz4 block is wrong");
    }
    const full = output.makeRoom();
    if (full !== null) yield full;
    if (!output.add(block, length >= STORED)) throw corruptData(field, "an lz4 block is not valid");
  }
  const checksum = header.hasContentChecksum ? (await bytes.take(4)).readUInt32LE() : null;
  const last = output.finish();
  if (checksum !== null && checksum !== output.checksum)
    throw corruptData(field, "the checksum of an lz4 frame is wrong");
  const { contentSizeBytes } = header;
  if (contentSizeBytes !== null && contentSizeBytes !== BigInt(output.lengthBytes)) {
    throw corruptData(field, "an lz4 frame is not as long as it says");
  }
  if (last.length > 0) yield last;
}

/** Decoded bytes of one frame. What was handed out is not written to again. */
class FrameOutput {
  lengthBytes = 0;
  readonly #header: FrameHeader;
  readonly #checksum: Xxh32 | null;
  readonly #sizeBytes: number;
  #buffer: Buffer;
  /** [start, end) was not handed out yet; before it stands what matches may reach back to. */
  #start = 0;
  #end = 0;

  constructor(header: FrameHeader) {
    this.#header = header;
    this.#checksum = header.hasContentChecksum ? new Xxh32() : null;
    this.#sizeBytes = WINDOW_BYTES + Math.max(GATHERED_BYTES, header.blockSizeBytesMax);
    this.#buffer = Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  get checksum(): number | null {
    return this.#checksum?.digest() ?? null;
  }

  /** Makes room for a block; gives what must be handed on for that. */
  makeRoom(): Buffer | null {
    if (this.#sizeBytes - this.#end >= this.#header.blockSizeBytesMax) return null;
    const full = this.finish();
    const fresh = Buffer.allocUnsafeSlow(this.#sizeBytes);
    const kept = Math.min(WINDOW_BYTES, this.#end);
    this.#buffer.copy(fresh, 0, this.#end - kept, this.#end);
    this.#buffer = fresh;
    this.#start = kept;
    this.#end = kept;
    return full;
  }

  /** False when the block is not valid. */
  add(block: Uint8Array, isStored: boolean): boolean {
    const start = this.#end;
    if (isStored) {
      this.#buffer.set(block, start);
      this.#end += block.length;
    } else {
      const windowStart = this.#header.areBlocksIndependent ? start : Math.max(0, start - WINDOW_BYTES);
      const limit = start + this.#header.blockSizeBytesMax;
      const end = decodeLz4Block(block, this.#buffer, { start, limit, windowStart });
      if (end < 0) return false;
      this.#end = end;
    }
    this.lengthBytes += this.#end - start;
    this.#checksum?.update(this.#buffer.subarray(start, this.#end));
    return true;
  }

  finish(): Buffer {
    const rest = this.#buffer.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return rest;
  }
}

const WRITTEN_BLOCK_BYTES = 1024 * 1024;
/** Version 1, independent blocks, content checksum; blocks of up to 1 MiB. */
const WRITTEN_DESCRIPTOR = Buffer.of(0x64, 0x60);

/** Writes one frame piece by piece. */
export class Lz4FrameEncoder {
  readonly #checksum = new Xxh32();
  #isBegun = false;

  encode(bytes: Uint8Array): Uint8Array[] {
    const written: Uint8Array[] = this.#begin();
    this.#checksum.update(bytes);
    for (let at = 0; at < bytes.length; at += WRITTEN_BLOCK_BYTES) {
      const plain = bytes.subarray(at, at + WRITTEN_BLOCK_BYTES);
      const block = Buffer.allocUnsafeSlow(4 + lz4BlockBound(plain.length));
      const length = encodeLz4Block(plain, block.subarray(4));
      const isStored = length >= plain.length;
      if (isStored) block.set(plain, 4);
      const blockBytes = isStored ? plain.length : length;
      block.writeUInt32LE(blockBytes + (isStored ? STORED : 0));
      written.push(block.subarray(0, 4 + blockBytes));
    }
    return written;
  }

  end(): Uint8Array[] {
    const last = Buffer.alloc(8);
    last.writeUInt32LE(this.#checksum.digest(), 4);
    return [...this.#begin(), last];
  }

  #begin(): Uint8Array[] {
    if (this.#isBegun) return [];
    this.#isBegun = true;
    const header = Buffer.alloc(7);
    header.writeUInt32LE(MAGIC);
    header.set(WRITTEN_DESCRIPTOR, 4);
    header[6] = (xxh32(WRITTEN_DESCRIPTOR) >> 8) & 0xff;
    return [header];
  }
}
