// The atoms of an archive: bytes, integers, strings, offsets. Sizes of integers and offsets stand in the head.
//
//   integer  1 byte sign (0: not negative, 1: negative), then intSizeBytes of magnitude, least byte first
//   string   integer length (-1: null), then that many bytes, no terminator
//   offset   1 byte state (1 not set, 2 set, 3 no data), then offsetSizeBytes, least byte first
//
// An OID is written as a C int: above 2^31 it is negative.
// Source: pg_backup_archiver.c, WriteInt, ReadInt, WriteStr, ReadStr, WriteOffset, ReadOffset.

import { isUtf8 } from "node:buffer";

import { assert } from "../base/assert.ts";
import { invalidArchive } from "./archive-errors.ts";
import { TOC_STRING_BYTES_MAX } from "./limits.ts";
import type { DataState, TextEncoding } from "./toc.ts";

/** Thrown by ByteReader when its bytes end before a field does; `neededBytes` from the reader's position on. */
export class ShortInput extends Error {
  readonly field: string;
  readonly neededBytes: number;

  constructor(field: string, neededBytes: number) {
    super(`more input needed for ${field}`);
    this.field = field;
    this.neededBytes = neededBytes;
  }
}

/** Thrown by ByteReader when a string is not UTF-8: all strings are then read as latin1, from the start. */
export class NotUtf8 extends Error {}

/** Strings up to this long are looked at byte by byte here; beyond that, calls into Node cost less. */
const SHORT_STRING_BYTES_MAX = 64;

/** Of an OID or dump id as decimal text. */
const DECIMAL_DIGITS_MAX = 10;
const ZERO = 0x30;

const DATA_STATES: readonly DataState[] = ["not-set", "set", "no-data"];

/** Reads atoms from bytes in memory; `baseOffset` is the archive offset of the first byte, for errors. */
export class ByteReader {
  intSizeBytes = 4;
  offsetSizeBytes = 8;
  position = 0;
  readonly #bytes: Buffer;
  readonly #baseOffset: number;
  readonly #encoding: TextEncoding;
  /** The last short ASCII string of each field: the next entry's is mostly the same, and is then the same object. */
  readonly #recent = new Map<string, string>();

  constructor(bytes: Buffer, baseOffset: number, encoding: TextEncoding) {
    this.#bytes = bytes;
    this.#baseOffset = baseOffset;
    this.#encoding = encoding;
  }

  /** Archive offset of the next byte. */
  get offset(): number {
    return this.#baseOffset + this.position;
  }

  #take(length: number, field: string): number {
    const start = this.position;
    if (start + length > this.#bytes.length) throw new ShortInput(field, length);
    this.position = start + length;
    return start;
  }

  readByte(field: string): number {
    return this.#bytes[this.#take(1, field)] ?? 0;
  }

  readBytes(length: number, field: string): Buffer {
    const start = this.#take(length, field);
    return this.#bytes.subarray(start, start + length);
  }

  /** A signed integer; the caller checks its range. What it is of stands before the field's name in errors. */
  readInt(field: string, prefix = ""): number {
    const start = this.position;
    if (start + 1 + this.intSizeBytes > this.#bytes.length) {
      throw new ShortInput(prefix + field, 1 + this.intSizeBytes);
    }
    const sign = this.#bytes[start] ?? 0;
    const magnitude = readMagnitude(this.#bytes, start + 1, this.intSizeBytes);
    if (sign > 1) throw this.#invalid(start, prefix + field, `sign byte is ${sign}`);
    if (magnitude === null) throw this.#invalid(start, prefix + field, "the integer is too large");
    if (sign === 1 && magnitude === 0) throw this.#invalid(start, prefix + field, "minus zero");
    this.position = start + 1 + this.intSizeBytes;
    return sign === 1 ? -magnitude : magnitude;
  }

  readIntBetween(minimum: number, maximum: number, field: string): number {
    const offset = this.offset;
    const value = this.readInt(field);
    if (value < minimum || value > maximum) {
      throw invalidArchive(offset, field, `${value} is not between ${minimum} and ${maximum}`);
    }
    return value;
  }

  /** A string, or null. `lengthBytesMax` is how much input can follow at all. */
  readString(field: string, lengthBytesMax: number): string | null {
    const start = this.position;
    const length = this.readInt(field, "length of ");
    if (length === -1) return null;
    const maximum = Math.min(lengthBytesMax, TOC_STRING_BYTES_MAX);
    if (length < 0 || length > maximum) {
      throw this.#invalid(start, `length of ${field}`, `${length} is not between -1 and ${maximum}`);
    }
    if (this.position + length > this.#bytes.length) {
      const neededBytes = this.position - start + length;
      this.position = start;
      throw new ShortInput(field, neededBytes);
    }
    const short = length <= SHORT_STRING_BYTES_MAX ? this.#takeAscii(length, field) : null;
    if (short !== null) return short;
    const bytes = this.readBytes(length, field);
    if (bytes.includes(0)) throw this.#invalid(start, field, "the string holds a zero byte");
    if (this.#encoding === "latin1") return bytes.toString("latin1");
    if (!isUtf8(bytes)) throw new NotUtf8();
    return bytes.toString("utf8");
  }

  /**
   * A string of decimal digits as the number that it is. Null, and nothing is taken, where it is anything else or not all
   * there: readString() then says what.
   */
  takeDecimal(maximum: number): number | null {
    const digits = this.position + 1 + this.intSizeBytes;
    if (digits > this.#bytes.length || this.#bytes[this.position] !== 0) return null;
    const length = readMagnitude(this.#bytes, this.position + 1, this.intSizeBytes) ?? 0;
    if (length < 1 || length > DECIMAL_DIGITS_MAX || digits + length > this.#bytes.length) return null;
    if (length > 1 && this.#bytes[digits] === ZERO) return null;
    let value = 0;
    for (let index = digits; index < digits + length; index += 1) {
      const digit = this.#bytes[index]! - ZERO;
      if (digit < 0 || digit > 9) return null;
      value = value * 10 + digit;
    }
    if (value > maximum) return null;
    this.position = digits + length;
    return value;
  }

  /** The next bytes as text where they are ASCII without a zero byte, which is the same in every encoding; else null, and nothing is taken. */
  #takeAscii(length: number, field: string): string | null {
    if (length === 0) return "";
    const start = this.position;
    const end = start + length;
    const recent = this.#recent.get(field);
    if (recent !== undefined && recent.length === length && holds(this.#bytes, start, recent)) {
      this.position = end;
      return recent;
    }
    for (let index = start; index < end; index += 1) {
      const byte = this.#bytes[index]!;
      if (byte === 0 || byte > 0x7f) return null;
    }
    const text = this.#bytes.toString("latin1", start, end);
    this.#recent.set(field, text);
    this.position = end;
    return text;
  }

  #invalid(position: number, field: string, reason: string): Error {
    return invalidArchive(this.#baseOffset + position, field, reason);
  }

  readOffset(field: string): { state: DataState; offset: number } {
    const at = this.offset;
    const flag = this.readByte(field);
    const state = DATA_STATES[flag - 1];
    if (state === undefined) throw invalidArchive(at, field, `state is ${flag}`);
    const start = this.#take(this.offsetSizeBytes, field);
    const offset = readMagnitude(this.#bytes, start, this.offsetSizeBytes);
    if (offset === null) throw invalidArchive(at, field, "the offset is too large");
    return { state, offset };
  }
}

/** True when these are the bytes of an ASCII text, which is within them. */
function holds(bytes: Uint8Array, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (bytes[start + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** An unsigned number, least byte first; null when it is not below 2^53. */
export function readMagnitude(bytes: Uint8Array, start: number, sizeBytes: number): number | null {
  let value = 0;
  let unit = 1;
  for (let index = start; index < start + sizeBytes; index += 1) {
    value += (bytes[index] ?? 0) * unit;
    if (value > Number.MAX_SAFE_INTEGER) return null;
    unit *= 256;
  }
  return value;
}

/** The value of an OID that was read as an integer; null when it is none. */
export function oidOfInt(value: number): number | null {
  if (value < -0x8000_0000 || value > 0xffff_ffff) return null;
  return value < 0 ? value + 0x1_0000_0000 : value;
}

/** The integer as which pg_dump writes an OID. */
export function intOfOid(oid: number): number {
  return oid > 0x7fff_ffff ? oid - 0x1_0000_0000 : oid;
}

/** Writes atoms into memory. */
export class ByteWriter {
  readonly #intSizeBytes: number;
  readonly #offsetSizeBytes: number;
  #bytes: Buffer;
  #length = 0;

  constructor(intSizeBytes: number, offsetSizeBytes: number, capacityBytes = 64) {
    this.#intSizeBytes = intSizeBytes;
    this.#offsetSizeBytes = offsetSizeBytes;
    this.#bytes = Buffer.alloc(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written so far; a view. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(length: number): number {
    const start = this.#length;
    if (start + length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.#bytes.length * 2, start + length));
      this.#bytes.copy(larger, 0, 0, start);
      this.#bytes = larger;
    }
    this.#length = start + length;
    return start;
  }

  writeByte(value: number): void {
    const start = this.#reserve(1);
    this.#bytes[start] = value;
  }

  writeBytes(bytes: Uint8Array): void {
    const start = this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, start);
  }

  writeInt(value: number): void {
    assert(Number.isSafeInteger(value), `${value} is no integer`);
    const magnitude = Math.abs(value);
    assert(magnitude <= 0x8000_0000, `${value} does not fit a C int`);
    this.writeByte(value < 0 ? 1 : 0);
    this.#writeMagnitude(magnitude, this.#intSizeBytes);
  }

  writeString(text: string | null, encoding: TextEncoding): void {
    if (text === null) {
      this.writeInt(-1);
      return;
    }
    assert(!text.includes("\0"), "a string of the table of contents holds a zero byte");
    const bytes = Buffer.from(text, encoding);
    assert(bytes.length <= TOC_STRING_BYTES_MAX, "a string of the table of contents is too long");
    this.writeInt(bytes.length);
    this.writeBytes(bytes);
  }

  writeOffset(state: DataState, offset: number): void {
    this.writeByte(DATA_STATES.indexOf(state) + 1);
    this.#writeMagnitude(offset, this.#offsetSizeBytes);
  }

  #writeMagnitude(value: number, sizeBytes: number): void {
    const start = this.#reserve(sizeBytes);
    let rest = value;
    for (let index = 0; index < sizeBytes; index += 1) {
      this.#bytes[start + index] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    assert(rest === 0, `${value} does not fit ${sizeBytes} bytes`);
  }
}
