// The rows of a table as one number, whatever their order: COPY text cut into rows, a 128-bit hash of each, added up
// modulo 2^128, and their count. Computed alike from stored chunks and from what a server sends; pieces may be cut
// anywhere, and memory does not grow with the rows. A newline byte in COPY text is always a row end, a tab a column's.
// Source: PostgreSQL manual, "COPY", File Formats, Text Format.

import { OperatingError } from "../../base/errors.ts";
import { hashRow, PieceHash } from "./row-hash.ts";

const NEWLINE = 0x0a;
const TAB = 0x09;
const WORD_COUNT = 4;
/** So many 32-bit words add up exactly in a double. */
const ADDITIONS_MAX = 2 ** 20;
const WORD_BITS = 32n;
const COLUMN_COUNT_MAX = 1600;

/** What a table's rows come to. */
export interface RowTotal {
  readonly rowCount: number;
  /** 32 hexadecimal digits. */
  readonly sum: string;
}

/** Adds up the rows of COPY text. */
export class RowSum {
  /** For each column of the text, its place in the hash; null: rows are hashed as they are. */
  readonly #places: readonly number[] | null;
  readonly #partial = new PieceHash();
  readonly #words = new Int32Array(WORD_COUNT);
  readonly #fields: Buffer;
  readonly #lanes = new Float64Array(WORD_COUNT);
  #column = 0;
  #pendingAdditions = 0;
  #total = 0n;
  #rowCount = 0;

  /** `places` makes rows comparable whose columns stand in another order: each column's place in a common order. */
  constructor(places: readonly number[] | null = null) {
    this.#places = places;
    this.#fields = Buffer.alloc(places === null ? 0 : places.length * WORD_COUNT * 4);
  }

  push(bytes: Uint8Array): void {
    if (this.#places === null) this.#pushRows(bytes);
    else this.#pushFields(bytes, this.#places);
  }

  /** The total. Throws "corrupt" when the text does not end at a row end. */
  finish(): RowTotal {
    if (!this.#partial.isEmpty || this.#column > 0) {
      throw new OperatingError("corrupt", "the rows end in the middle of a row");
    }
    this.#carry();
    const sum = BigInt.asUintN(128, this.#total).toString(16).padStart(32, "0");
    return { rowCount: this.#rowCount, sum };
  }

  #pushRows(bytes: Uint8Array): void {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE, start); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#hashUnit(bytes, start, end);
      this.#add();
      start = end + 1;
    }
    if (start < bytes.length) this.#partial.push(bytes.subarray(start));
  }

  #pushFields(bytes: Uint8Array, places: readonly number[]): void {
    let start = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at];
      if (byte !== TAB && byte !== NEWLINE) continue;
      const place = places[this.#column];
      if (place === undefined) throw wrongColumns(places.length);
      this.#hashUnit(bytes, start, at);
      for (let word = 0; word < WORD_COUNT; word += 1) {
        this.#fields.writeInt32LE(this.#words[word]!, (place * WORD_COUNT + word) * 4);
      }
      this.#column += 1;
      start = at + 1;
      if (byte === NEWLINE) this.#endRow(places);
    }
    if (start < bytes.length) this.#partial.push(bytes.subarray(start));
  }

  #endRow(places: readonly number[]): void {
    if (this.#column !== places.length) throw wrongColumns(places.length);
    this.#column = 0;
    hashRow(this.#fields, 0, this.#fields.length, this.#words);
    this.#add();
  }

  #hashUnit(bytes: Uint8Array, start: number, end: number): void {
    if (this.#partial.isEmpty) return hashRow(bytes, start, end, this.#words);
    this.#partial.push(bytes.subarray(start, end));
    this.#partial.digest(this.#words);
  }

  #add(): void {
    for (let word = 0; word < WORD_COUNT; word += 1) this.#lanes[word]! += this.#words[word]! >>> 0;
    this.#rowCount += 1;
    this.#pendingAdditions += 1;
    if (this.#pendingAdditions === ADDITIONS_MAX) this.#carry();
  }

  #carry(): void {
    for (let word = 0; word < WORD_COUNT; word += 1) {
      this.#total += BigInt(this.#lanes[word]!) << (BigInt(word) * WORD_BITS);
      this.#lanes[word] = 0;
    }
    this.#total = BigInt.asUintN(128, this.#total);
    this.#pendingAdditions = 0;
  }
}

/** Totals of parts as the total of all. */
export function addTotals(totals: readonly RowTotal[]): RowTotal {
  const sum = totals.reduce((total, part) => total + BigInt(`0x${part.sum}`), 0n);
  return {
    rowCount: totals.reduce((count, part) => count + part.rowCount, 0),
    sum: BigInt.asUintN(128, sum).toString(16).padStart(32, "0"),
  };
}

/** Each column's place when the columns are put into the order of their names. */
export function placesByName(columns: readonly string[]): readonly number[] {
  if (columns.length > COLUMN_COUNT_MAX) throw wrongColumns(COLUMN_COUNT_MAX);
  const sorted = columns.toSorted();
  return columns.map((column) => sorted.indexOf(column));
}

function wrongColumns(count: number): OperatingError {
  return new OperatingError("corrupt", `a row does not have its ${count} columns`);
}
