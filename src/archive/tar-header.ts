// The headers of tar members as pg_dump writes and reads them: ustar, numbers in octal or, where they do not fit, in
// base 256. Everything that is not a plain file of a plain name is refused: links, folders, devices, extended headers.
//
//   name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1, link name 100, "ustar" NUL "00",
//   user 32, group 32, device 8 + 8, prefix 155; filled up to 512
//
// Source: POSIX pax, "ustar Interchange Format"; src/port/tar.c, tarCreateHeader, read_tar_number.

import { assert } from "../base/assert.ts";
import { invalidArchive } from "./archive-errors.ts";
import { isMemberName } from "./members.ts";

/** Headers and the contents of members take multiples of this. */
export const TAR_BLOCK_BYTES = 512;

/** The mark at the end of a tar archive. */
export const TAR_END_BYTES = 2 * TAR_BLOCK_BYTES;

const OCTAL_DIGITS = 11;
const FIELD = { name: 0, mode: 100, uid: 108, gid: 116, size: 124, mtime: 136, checksum: 148, type: 156, magic: 257 };
const PREFIX_OFFSET = 345;
const PREFIX_BYTES = 155;
const CHECKSUM_BYTES = 8;

/** Users and groups are what pg_dump writes; nobody looks at them. */
const UID = 0o4000;
const GID = 0o2000;
const MODE = 0o600;

export interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
}

/** True when these first bytes of a file are a tar header. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < TAR_BLOCK_BYTES) return false;
  const text = Buffer.from(block.subarray(FIELD.magic, FIELD.magic + 5)).toString("latin1");
  return text === "ustar" && readNumber(block, FIELD.checksum, CHECKSUM_BYTES) === checksumOf(block);
}

/** Reads a header; null for a block of zeros, which is a part of the end mark. Throws archive_invalid. */
export function parseTarHeader(block: Uint8Array, offset: number): TarHeader | null {
  if (block.every((byte) => byte === 0)) return null;
  if (!isTarHeader(block)) throw invalidArchive(offset, "tar header", "its magic or checksum is wrong");
  const name = textOf(block, FIELD.name, 100);
  const prefix = textOf(block, PREFIX_OFFSET, PREFIX_BYTES);
  const type = String.fromCharCode(block[FIELD.type]!);
  if (type !== "0" && type !== "\0") {
    throw invalidArchive(
      offset,
      "tar header",
      "the member is a link, a folder, or of another kind that pg_dump does not write",
    );
  }
  if (prefix !== "" || !isMemberName(name)) {
    throw invalidArchive(
      offset,
      "name of tar member",
      "it is not a name that pg_dump gives: a path, or odd characters",
    );
  }
  const sizeBytes = readNumber(block, FIELD.size, OCTAL_DIGITS + 1);
  if (sizeBytes === null) throw invalidArchive(offset, "size of tar member", "it is not a number");
  return { name, sizeBytes };
}

/** The header of a member. `modifiedAtSeconds`: since 1970. */
export function encodeTarHeader({ name, sizeBytes }: TarHeader, modifiedAtSeconds: number): Buffer {
  assert(isMemberName(name) && name.length < 100, `${name} is no name of a tar member`);
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  block.write(name, FIELD.name, "latin1");
  writeOctal(block, FIELD.mode, 8, MODE);
  writeOctal(block, FIELD.uid, 8, UID);
  writeOctal(block, FIELD.gid, 8, GID);
  writeNumber(block, FIELD.size, sizeBytes);
  writeNumber(block, FIELD.mtime, Math.max(0, modifiedAtSeconds));
  block.write("0", FIELD.type, "latin1");
  block.write("ustar\u000000", FIELD.magic, "latin1");
  block.write("postgres", 265, "latin1");
  block.write("postgres", 297, "latin1");
  writeOctal(block, 329, 8, 0);
  writeOctal(block, 337, 8, 0);
  block.write(`${checksumOf(block).toString(8).padStart(6, "0")}\0 `, FIELD.checksum, "latin1");
  return block;
}

/** How many bytes fill a member's contents up to a whole block. */
export function tarPaddingBytes(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

function textOf(block: Uint8Array, start: number, lengthBytes: number): string {
  const text = Buffer.from(block.subarray(start, start + lengthBytes)).toString("latin1");
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** The sum of all bytes, those of the checksum taken for spaces. */
function checksumOf(block: Uint8Array): number {
  let sum = CHECKSUM_BYTES * 0x20;
  for (let index = 0; index < TAR_BLOCK_BYTES; index += 1) {
    if (index < FIELD.checksum || index >= FIELD.checksum + CHECKSUM_BYTES) sum += block[index]!;
  }
  return sum;
}

/** A number in octal or base 256; null when it is none, negative, or not below 2^53. */
function readNumber(block: Uint8Array, start: number, lengthBytes: number): number | null {
  if (block[start]! >= 0x80) {
    let value = block[start]! & 0x7f;
    for (let index = start + 1; index < start + lengthBytes; index += 1) {
      value = value * 256 + block[index]!;
      if (value > Number.MAX_SAFE_INTEGER) return null;
    }
    return value;
  }
  const digits = /^ *([0-7]+)[ \0]*$/.exec(Buffer.from(block.subarray(start, start + lengthBytes)).toString("latin1"));
  return digits === null ? null : Number.parseInt(digits[1]!, 8);
}

function writeOctal(block: Buffer, start: number, lengthBytes: number, value: number): void {
  block.write(`${value.toString(8).padStart(lengthBytes - 1, "0")} `, start, "latin1");
}

/** A field of twelve bytes: octal up to 8 GiB, base 256 beyond. */
function writeNumber(block: Buffer, start: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is no size`);
  if (value < 8 ** OCTAL_DIGITS) {
    writeOctal(block, start, OCTAL_DIGITS + 1, value);
    return;
  }
  block[start] = 0x80;
  block.writeUIntBE(Math.floor(value / 2 ** 32), start + 4, 4);
  block.writeUIntBE(value % 2 ** 32, start + 8, 4);
}
