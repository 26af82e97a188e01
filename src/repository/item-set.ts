// A set of item numbers of one pack, one bit each: at most 8 KiB.

import { assert } from "../base/assert.ts";
import { ITEM_COUNT_MAX } from "./sealing.ts";

const FIRST_BYTES = 16;

/** `[first, last]`, both included. */
export type ItemRange = readonly [number, number];

/** Item numbers from 0 to ITEM_COUNT_MAX. */
export class ItemSet {
  #bits = new Uint8Array(FIRST_BYTES);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(itemNumber: number): boolean {
    return ((this.#bits[itemNumber >>> 3] ?? 0) & (1 << (itemNumber & 7))) !== 0;
  }

  /** True when it was not in the set before. */
  add(itemNumber: number): boolean {
    assert(itemNumber >= 0 && itemNumber <= ITEM_COUNT_MAX, "an item's number is within its limits");
    const index = itemNumber >>> 3;
    if (index >= this.#bits.length) this.#grow(index + 1);
    const bit = 1 << (itemNumber & 7);
    if ((this.#bits[index]! & bit) !== 0) return false;
    this.#bits[index]! |= bit;
    this.#size += 1;
    return true;
  }

  /** The numbers in order. */
  *[Symbol.iterator](): Generator<number> {
    for (let index = 0; index < this.#bits.length; index += 1) {
      if (this.#bits[index] === 0) continue;
      for (let bit = 0; bit < 8; bit += 1) if ((this.#bits[index]! & (1 << bit)) !== 0) yield index * 8 + bit;
    }
  }

  #grow(bytes: number): void {
    const bits = new Uint8Array(Math.max(bytes, this.#bits.length * 2));
    bits.set(this.#bits);
    this.#bits = bits;
  }
}

/** Numbers in order as ranges. */
export function rangesOf(itemNumbers: Iterable<number>): ItemRange[] {
  const ranges: [number, number][] = [];
  for (const itemNumber of itemNumbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === itemNumber - 1) last[1] = itemNumber;
    else ranges.push([itemNumber, itemNumber]);
  }
  return ranges;
}

/** The set of all numbers in the ranges. */
export function itemSetOf(ranges: readonly ItemRange[]): ItemSet {
  const set = new ItemSet();
  for (const [first, last] of ranges) for (let number = first; number <= last; number += 1) set.add(number);
  return set;
}
