// Names of packs by number, so that what thousands of manifests name, mostly the same, is kept as ranges of numbers.

/** Numbers as `first, last, first, last, …`, ascending. */
export type PackRanges = readonly number[];

/** A set of packs, by their numbers in a table. */
export interface PackSet {
  readonly table: PackTable;
  readonly ranges: PackRanges;
}

/** See the head of this file. Numbers count from 0 in the order in which names come. */
export class PackTable {
  readonly #names: string[] = [];
  readonly #numbers = new Map<string, number>();

  get size(): number {
    return this.#names.length;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  /** The number of a name; a new one when it has none. */
  add(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    this.#numbers.set(name, this.#names.length);
    return this.#names.push(name) - 1;
  }

  rangesOf(names: Iterable<string>): PackRanges {
    const numbers = Uint32Array.from(names, (name) => this.add(name)).sort();
    const ranges: number[] = [];
    for (const number of numbers) {
      const last = ranges.length - 1;
      if (last > 0 && number <= ranges[last]! + 1) ranges[last] = number;
      else ranges.push(number, number);
    }
    return ranges;
  }

  /** The set of these names, as numbers of this table. */
  setOf(names: Iterable<string>): PackSet {
    return { table: this, ranges: this.rangesOf(names) };
  }

  *namesOf(ranges: PackRanges): Generator<string> {
    for (let index = 0; index < ranges.length; index += 2) {
      for (let number = ranges[index]!; number <= ranges[index + 1]!; number += 1) yield this.#names[number]!;
    }
  }
}
