// LZ4 blocks: sequences of a token, literals, and a match of at least four bytes up to 64 KiB back. Decoding is bounded
// by the room it is given; nothing outside of it is read or written.
//
//   token     high four bits: count of literals, low four bits: match length less 4; 15 means that bytes follow which
//             are added, up to and with the first that is not 255
//   offset    2 bytes, least first, from 1; the last sequence ends with its literals
//
// Source: LZ4 Block Format Description.

const MATCH_BYTES_MIN = 4;
const DISTANCE_MAX = 0xffff;
/** The last match begins at least so far from the end, and the last literals are at least five. */
const MATCH_START_DISTANCE_MIN = 12;
const LAST_LITERALS_MIN = 5;
const HASH_BITS = 14;
/** After so many failed looks, as a power of two, the next look is one byte further on. */
const SKIP_BITS = 6;
/** From here on copying at once is faster than byte by byte. */
const COPY_BYTES_MIN = 24;

/**
 * Decodes a block into `target` from `start` on, up to `limit`; matches may reach back to `windowStart`. Returns the end,
 * or -1 when the block is not valid or does not fit.
 */
export function decodeLz4Block(
  block: Uint8Array,
  target: Uint8Array,
  room: { readonly start: number; readonly limit: number; readonly windowStart: number },
): number {
  const { limit, windowStart } = room;
  const blockEnd = block.length;
  let from = 0;
  let to = room.start;
  while (from < blockEnd) {
    const token = block[from++]!;
    let literals = token >> 4;
    if (literals === 15) {
      for (let more = 255; more === 255;) {
        if (from >= blockEnd) return -1;
        more = block[from++]!;
        literals += more;
      }
    }
    if (literals > blockEnd - from || literals > limit - to) return -1;
    if (literals >= COPY_BYTES_MIN) target.set(block.subarray(from, from + literals), to);
    else for (let index = 0; index < literals; index += 1) target[to + index] = block[from + index]!;
    from += literals;
    to += literals;
    if (from === blockEnd) return to;
    if (from + 2 > blockEnd) return -1;
    const distance = block[from]! | (block[from + 1]! << 8);
    from += 2;
    if (distance === 0 || to - distance < windowStart) return -1;
    let length = (token & 15) + MATCH_BYTES_MIN;
    if (length === 15 + MATCH_BYTES_MIN) {
      for (let more = 255; more === 255;) {
        if (from >= blockEnd) return -1;
        more = block[from++]!;
        length += more;
      }
    }
    if (length > limit - to) return -1;
    if (length >= COPY_BYTES_MIN && distance >= length) target.copyWithin(to, to - distance, to - distance + length);
    else for (let index = 0; index < length; index += 1) target[to + index] = target[to + index - distance]!;
    to += length;
  }
  return -1;
}

/** The longest that a block of so many bytes can become. */
export function lz4BlockBound(lengthBytes: number): number {
  return lengthBytes + Math.ceil(lengthBytes / 255) + 16;
}

/** Encodes bytes as one block into `target`, which has room for lz4BlockBound(); returns its length. Greedy, fast. */
export function encodeLz4Block(bytes: Uint8Array, target: Uint8Array): number {
  const writer = new SequenceWriter(bytes, target);
  const heads = new Int32Array(1 << HASH_BITS).fill(-1);
  const matchStartMax = bytes.length - MATCH_START_DISTANCE_MIN;
  const matchEndMax = bytes.length - LAST_LITERALS_MIN;
  let looks = 1 << SKIP_BITS;
  for (let at = 0; at <= matchStartMax;) {
    const value = word(bytes, at);
    const slot = Math.imul(value, 0x9e3779b1) >>> (32 - HASH_BITS);
    const found = heads[slot]!;
    heads[slot] = at;
    if (found < 0 || at - found > DISTANCE_MAX || word(bytes, found) !== value) {
      at += looks++ >> SKIP_BITS;
      continue;
    }
    looks = 1 << SKIP_BITS;
    let end = at + MATCH_BYTES_MIN;
    while (end < matchEndMax && bytes[end] === bytes[end - at + found]) end += 1;
    writer.match(at, at - found, end - at);
    at = end;
  }
  return writer.end();
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

class SequenceWriter {
  readonly #bytes: Uint8Array;
  readonly #target: Uint8Array;
  #anchor = 0;
  #length = 0;

  constructor(bytes: Uint8Array, target: Uint8Array) {
    this.#bytes = bytes;
    this.#target = target;
  }

  match(start: number, distance: number, length: number): void {
    const extra = length - MATCH_BYTES_MIN;
    this.#literals(start, Math.min(extra, 15));
    this.#target[this.#length++] = distance & 0xff;
    this.#target[this.#length++] = distance >> 8;
    if (extra >= 15) this.#more(extra - 15);
    this.#anchor = start + length;
  }

  end(): number {
    this.#literals(this.#bytes.length, 0);
    return this.#length;
  }

  #literals(end: number, matchBits: number): void {
    const count = end - this.#anchor;
    this.#target[this.#length++] = (Math.min(count, 15) << 4) | matchBits;
    if (count >= 15) this.#more(count - 15);
    if (count >= COPY_BYTES_MIN) {
      this.#target.set(this.#bytes.subarray(this.#anchor, end), this.#length);
      this.#length += count;
      return;
    }
    const bytes = this.#bytes;
    const target = this.#target;
    let to = this.#length;
    for (let from = this.#anchor; from < end; from += 1) target[to++] = bytes[from]!;
    this.#length = to;
  }

  #more(value: number): void {
    let rest = value;
    for (; rest >= 255; rest -= 255) this.#target[this.#length++] = 255;
    this.#target[this.#length++] = rest;
  }
}
