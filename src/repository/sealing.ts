// Seals and unseals the items of one object. Source: docs/formats/repository.md §4 (header, associated data, tags).
//
//   header: "CAIRNOBJ" | version 2 | cipher 1 | 0 | first item's sealed length 4 | data key id 16 | salt 32
//   item:   ciphertext | tag 16

import { createCipheriv, createDecipheriv, createHash, timingSafeEqual } from "node:crypto";
import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { GIB } from "../base/units.ts";
import type { Random } from "./environment.ts";
import { deriveKey } from "./keys.ts";
import type { Keyring } from "./keys.ts";

export const HEADER_BYTES = 64;
export const TAG_BYTES = 16;
export const ITEM_BYTES_MAX = GIB;
export const ITEM_COUNT_MAX = 65_536;

const MAGIC = Buffer.from("CAIRNOBJ", "latin1");
const ITEM_LABEL = Buffer.from("cairn item v1\0\0\0", "latin1");
const VERSION = 1;
const NAME_OFFSET = 176;
const ID_BYTES = 32;

/** Kinds of items and their numbers in the format. */
export const ITEM_KINDS = {
  table: 1,
  "large-objects": 2,
  page: 3,
  summary: 4,
  body: 5,
  toc: 6,
  contents: 7,
  run: 8,
  mark: 9,
  prune: 10,
  moved: 11,
} as const;

export type ItemKind = keyof typeof ITEM_KINDS;

/** How an item's plaintext is encoded; "zstd-delta": with the plaintext of another chunk, its base, as dictionary. */
export type Encoding = "none" | "zstd" | "zstd-delta";

const ENCODINGS: Readonly<Record<Encoding, number>> = { none: 0, zstd: 1, "zstd-delta": 2 };
const ENCODINGS_BY_NUMBER = Object.keys(ENCODINGS) as readonly Encoding[];

/** The number of an encoding in the format. */
export function encodingNumber(encoding: Encoding): number {
  return ENCODINGS[encoding];
}

/** The encoding of a number, or null for one that this version does not know. */
export function encodingOf(number: number): Encoding | null {
  return ENCODINGS_BY_NUMBER[number] ?? null;
}

/** What is authenticated with an item besides its place. */
export interface ItemFacts {
  readonly kind: ItemKind;
  readonly encoding: Encoding;
  readonly rawLengthBytes: number;
  /** 32 bytes for chunks, null for other kinds. */
  readonly id: Uint8Array | null;
  /** The base chunk's id, 32 bytes; only of a delta. */
  readonly baseId?: Uint8Array | null;
}

/** A header for a new object, with a new salt. */
export function makeHeader(keyring: Keyring, random: Random, firstItemBytes = 0): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header, 0);
  header.writeUInt16BE(VERSION, 8);
  header.writeUInt8(keyring.current === null ? 0 : 1, 10);
  header.writeUInt32BE(firstItemBytes, 12);
  if (keyring.current !== null) header.set(keyring.current.id, 16);
  header.set(random(32), 32);
  return header;
}

/** Sealed length of item 0 when it may be read alone, else 0. Trust it only after unsealing with it. */
export function firstItemBytes(header: Uint8Array): number {
  return Buffer.from(header.buffer, header.byteOffset, HEADER_BYTES).readUInt32BE(12);
}

/** OperatingError "corrupt" about an object. */
export function corrupt(objectName: string, reason: string): OperatingError {
  return new OperatingError("corrupt", `could not read "${objectName}": ${reason}`);
}

/** Bits by which an id may differ from a known one and still be that one, damaged: ids that differ are 64 apart. */
const DAMAGED_BITS_MAX = 32;

/** An object is sealed with a data key that is not at hand. `isOther`: its id is not just a known one with damage. */
export class UnknownDataKeyError extends OperatingError {
  readonly isOther: boolean;

  constructor(objectName: string, dataKeyId: Buffer, known: Iterable<string>) {
    const id = dataKeyId.toString("hex");
    super(
      "corrupt",
      `could not read "${objectName}": it is sealed with data key ${id}, which this repository does not have`,
      {
        hint: "It is damaged, or of another repository; or its keys were changed since this program read them, or somebody has put older ones back.",
      },
    );
    this.isOther = [...known].every((one) => differingBits(dataKeyId, Buffer.from(one, "hex")) > DAMAGED_BITS_MAX);
  }
}

function differingBits(one: Uint8Array, other: Uint8Array): number {
  let count = 0;
  for (const [index, byte] of one.entries()) {
    for (let rest = byte ^ other[index]!; rest > 0; rest &= rest - 1) count += 1;
  }
  return count;
}

/** Seals and unseals the items of the object with that name and header. */
export class ObjectCipher {
  readonly header: Uint8Array;
  readonly #name: string;
  readonly #key: Uint8Array | null;
  readonly #associated: Buffer;

  /** Throws OperatingError "corrupt" for a header that is none, and UnknownDataKeyError. */
  constructor(keyring: Keyring, name: string, header: Uint8Array) {
    this.#name = name;
    this.header = header;
    this.#key = objectKey(keyring, name, header);
    const nameBytes = Buffer.from(name, "latin1");
    this.#associated = Buffer.alloc(NAME_OFFSET + nameBytes.length);
    this.#associated.set(ITEM_LABEL, 0);
    this.#associated.set(header, 16);
    this.#associated.set(keyring.repositoryId, 80);
    this.#associated.set(nameBytes, NAME_OFFSET);
  }

  /** The sealed item in two parts that stand one after the other. */
  seal(itemNumber: number, facts: ItemFacts, bytes: Uint8Array): [Uint8Array, Uint8Array] {
    const lengthMax = Math.max(bytes.length + TAG_BYTES, facts.rawLengthBytes);
    assert(lengthMax <= ITEM_BYTES_MAX && itemNumber <= ITEM_COUNT_MAX, "an item is within its limits");
    assert(facts.encoding !== "none" || facts.rawLengthBytes === bytes.length, "plain bytes have their raw length");
    assert((facts.encoding === "zstd-delta") === isId(facts.baseId), "a delta, and nothing else, has a base");
    const associated = this.#associate(itemNumber, facts);
    if (this.#key === null) return [bytes, checksum(associated, bytes)];
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonceOf(itemNumber));
    cipher.setAAD(associated);
    const sealed = cipher.update(bytes);
    cipher.final();
    return [sealed, cipher.getAuthTag()];
  }

  /** The item's bytes, authentic. Throws OperatingError "corrupt". */
  unseal(itemNumber: number, facts: ItemFacts, sealed: Uint8Array): Uint8Array {
    const length = sealed.length - TAG_BYTES;
    if (length < 0 || (facts.encoding === "none" && facts.rawLengthBytes !== length)) {
      throw corrupt(this.#name, `item ${itemNumber} has the wrong length`);
    }
    const associated = this.#associate(itemNumber, facts);
    const bytes = sealed.subarray(0, length);
    const tag = sealed.subarray(length);
    if (this.#key === null) {
      if (timingSafeEqual(checksum(associated, bytes), tag)) return bytes;
      throw corrupt(this.#name, `checksum of item ${itemNumber} is wrong`);
    }
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonceOf(itemNumber));
    decipher.setAAD(associated);
    decipher.setAuthTag(tag);
    const plain = decipher.update(bytes);
    try {
      decipher.final();
    } catch {
      throw corrupt(this.#name, `authentication of item ${itemNumber} failed`);
    }
    return plain;
  }

  /** Fills the associated data in for an item; the buffer is used again by the next call. */
  #associate(itemNumber: number, facts: ItemFacts): Uint8Array {
    const associated = this.#associated;
    associated.writeUInt32BE(itemNumber, 96);
    associated[100] = ITEM_KINDS[facts.kind];
    associated[101] = encodingNumber(facts.encoding);
    associated.writeBigUInt64BE(BigInt(facts.rawLengthBytes), 104);
    if (facts.id === null) associated.fill(0, 112, 144);
    else associated.set(facts.id, 112);
    if (isId(facts.baseId)) associated.set(facts.baseId, 144);
    else associated.fill(0, 144, NAME_OFFSET);
    return associated;
  }
}

function isId(id: Uint8Array | null | undefined): id is Uint8Array {
  return id?.length === ID_BYTES;
}

function objectKey(keyring: Keyring, name: string, header: Uint8Array): Uint8Array | null {
  const view = Buffer.from(header.buffer, header.byteOffset, header.length);
  if (view.length !== HEADER_BYTES || !MAGIC.equals(view.subarray(0, 8)))
    throw corrupt(name, "it is no object of ours");
  if (view.readUInt16BE(8) !== VERSION) throw corrupt(name, `its version is ${view.readUInt16BE(8)}, not ${VERSION}`);
  const cipher = view.readUInt8(10);
  const dataKeyId = view.subarray(16, 32);
  if (view.readUInt8(11) !== 0 || cipher !== (keyring.current === null ? 0 : 1)) {
    throw corrupt(name, "its cipher is not the repository's");
  }
  if (cipher === 0) return null;
  const dataKey = keyring.dataKeys.get(dataKeyId.toString("hex"));
  if (dataKey === undefined) throw new UnknownDataKeyError(name, dataKeyId, keyring.dataKeys.keys());
  return deriveKey(dataKey.key, view.subarray(32), "cairn object v1");
}

function nonceOf(itemNumber: number): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(itemNumber, 8);
  return nonce;
}

function checksum(associated: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(associated).update(bytes).digest().subarray(0, TAG_BYTES);
}
