// XXH32 with seed 0, piece by piece: the checksum of LZ4 frames. Source: xxHash fast digest algorithm, 0.1.1.

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

const STRIPE_BYTES = 16;

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function mix(lane: number, input: number): number {
  return Math.imul(rotate((lane + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** A running XXH32. */
export class Xxh32 {
  #lane1 = (PRIME_1 + PRIME_2) | 0;
  #lane2 = PRIME_2 | 0;
  #lane3 = 0;
  #lane4 = -PRIME_1 | 0;
  #lengthBytes = 0;
  readonly #kept = new Uint8Array(STRIPE_BYTES);
  #keptBytes = 0;

  update(bytes: Uint8Array): this {
    this.#lengthBytes += bytes.length;
    let at = 0;
    if (this.#keptBytes > 0) {
      at = Math.min(STRIPE_BYTES - this.#keptBytes, bytes.length);
      this.#kept.set(bytes.subarray(0, at), this.#keptBytes);
      this.#keptBytes += at;
      if (this.#keptBytes < STRIPE_BYTES) return this;
      this.#stripes(this.#kept, 0, STRIPE_BYTES);
      this.#keptBytes = 0;
    }
    const end = bytes.length - ((bytes.length - at) % STRIPE_BYTES);
    this.#stripes(bytes, at, end);
    this.#kept.set(bytes.subarray(end));
    this.#keptBytes = bytes.length - end;
    return this;
  }

  /** An unsigned 32-bit number. */
  digest(): number {
    let hash =
      this.#lengthBytes >= STRIPE_BYTES
        ? rotate(this.#lane1, 1) + rotate(this.#lane2, 7) + rotate(this.#lane3, 12) + rotate(this.#lane4, 18)
        : PRIME_5;
    hash = (hash + this.#lengthBytes) | 0;
    let at = 0;
    for (; at + 4 <= this.#keptBytes; at += 4) {
      hash = Math.imul(rotate((hash + Math.imul(word(this.#kept, at), PRIME_3)) | 0, 17), PRIME_4);
    }
    for (; at < this.#keptBytes; at += 1) {
      hash = Math.imul(rotate((hash + Math.imul(this.#kept[at]!, PRIME_5)) | 0, 11), PRIME_1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Uint8Array, start: number, end: number): void {
    let [one, two, three, four] = [this.#lane1, this.#lane2, this.#lane3, this.#lane4];
    for (let at = start; at < end; at += STRIPE_BYTES) {
      one = mix(one, word(bytes, at));
      two = mix(two, word(bytes, at + 4));
      three = mix(three, word(bytes, at + 8));
      four = mix(four, word(bytes, at + 12));
    }
    [this.#lane1, this.#lane2, this.#lane3, this.#lane4] = [one, two, three, four];
  }
}

/** XXH32 of bytes in memory. */
export function xxh32(bytes: Uint8Array): number {
  return new Xxh32().update(bytes).digest();
}
