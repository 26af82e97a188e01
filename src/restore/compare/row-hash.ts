// A 128-bit hash of a row's bytes: MurmurHash3's 128-bit form for 32-bit machines, and SHA-256 cut to 128 bits for long
// rows, which come in pieces. It finds what went wrong by accident (a defect changes it, but for one in 2^128); it is no
// seal against somebody who makes rows to collide: that is what authenticated chunks are for.
// Source: MurmurHash3 by Austin Appleby, in the public domain.

import { createHash, hash } from "node:crypto";
import { KIB } from "../../base/units.ts";

/** Rows from this length on are hashed by SHA-256. */
export const LONG_ROW_BYTES = 64 * KIB;

const SEED = 0x0ca1;
const [C1, C2, C3, C4] = [0x239b961b, 0xab0e9789 | 0, 0x38b34ae5, 0xa1e38b93 | 0] as const;

/** Four words of 32 bits. */
export type HashWords = Int32Array;

/** Writes the hash of bytes[start, end) into `out`, four words. */
export function hashRow(bytes: Uint8Array, start: number, end: number, out: HashWords): void {
  if (end - start >= LONG_ROW_BYTES) return readWords(hash("sha256", bytes.subarray(start, end), "buffer"), out);
  let [h1, h2, h3, h4] = [SEED, SEED, SEED, SEED];
  const blocksEnd = start + ((end - start) & ~15);
  for (let at = start; at < blocksEnd; at += 16) {
    h1 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at), C1), 15), C2);
    h1 = (Math.imul((rotate(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 4), C2), 16), C3);
    h2 = (Math.imul((rotate(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 8), C3), 17), C4);
    h3 = (Math.imul((rotate(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotate(Math.imul(wordAt(bytes, at + 12), C4), 18), C1);
    h4 = (Math.imul((rotate(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  h1 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd, end), C1), 15), C2);
  h2 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 4, end), C2), 16), C3);
  h3 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 8, end), C3), 17), C4);
  h4 ^= Math.imul(rotate(Math.imul(tailWord(bytes, blocksEnd + 12, end), C4), 18), C1);
  finish(out, end - start, [h1, h2, h3, h4]);
}

function finish(out: HashWords, lengthBytes: number, state: readonly [number, number, number, number]): void {
  let [h1, h2, h3, h4] = state;
  h1 ^= lengthBytes;
  h2 ^= lengthBytes;
  h3 ^= lengthBytes;
  h4 ^= lengthBytes;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = mix(h1);
  h2 = mix(h2);
  h3 = mix(h3);
  h4 = mix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  out[0] = h1;
  out[1] = h2 + h1;
  out[2] = h3 + h1;
  out[3] = h4 + h1;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** The word at an offset, zeros behind the end. */
function tailWord(bytes: Uint8Array, at: number, end: number): number {
  let word = 0;
  for (let index = Math.min(end, at + 4) - 1; index >= at; index -= 1) word = (word << 8) | bytes[index]!;
  return word;
}

function readWords(digest: Buffer, out: HashWords): void {
  for (let index = 0; index < 4; index += 1) out[index] = digest.readInt32LE(index * 4);
}

/** Hashes a row that comes in pieces, to the same result as hashRow(); its memory is LONG_ROW_BYTES. */
export class PieceHash {
  #held: Buffer[] = [];
  #heldBytes = 0;
  #long: ReturnType<typeof createHash> | null = null;

  /** True when nothing of a row was pushed. */
  get isEmpty(): boolean {
    return this.#long === null && this.#heldBytes === 0;
  }

  push(bytes: Uint8Array): void {
    if (this.#long !== null) {
      this.#long.update(bytes);
      return;
    }
    this.#held.push(Buffer.from(bytes)); // a copy: the caller's buffer is used again
    this.#heldBytes += bytes.length;
    if (this.#heldBytes < LONG_ROW_BYTES) return;
    this.#long = createHash("sha256");
    for (const held of this.#held) this.#long.update(held);
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** The hash of all that was pushed; then begins anew. */
  digest(out: HashWords): void {
    if (this.#long === null) {
      const whole = Buffer.concat(this.#held);
      hashRow(whole, 0, whole.length, out);
    } else {
      readWords(this.#long.digest(), out);
    }
    this.#held = [];
    this.#heldBytes = 0;
    this.#long = null;
  }
}
