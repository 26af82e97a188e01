// Builds and opens whole sealed objects: header, items, contents, trailer. Source: docs/formats/repository.md §4.
//
//   contents, per item: kind 1 | encoding 1 | 0 2 | sealed length 4 | raw length 4 | chunk id 32 | base id 32, of a delta
//   trailer:            contents' sealed length 4 | contents' number 4 | "CAIRNEND"

import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import type { Storage, StoredObject } from "../storage/index.ts";
import type { Random } from "./environment.ts";
import type { Keyring } from "./keys.ts";
import {
  corrupt,
  encodingNumber,
  encodingOf,
  HEADER_BYTES,
  ITEM_BYTES_MAX,
  ITEM_COUNT_MAX,
  ITEM_KINDS,
  makeHeader,
  ObjectCipher,
  TAG_BYTES,
} from "./sealing.ts";
import type { Encoding, ItemFacts, ItemKind } from "./sealing.ts";

export const TRAILER_BYTES = 16;
const ENTRY_BYTES = 44;
const BASE_ID_BYTES = 32;
const TRAILER_MAGIC = Buffer.from("CAIRNEND", "latin1");
const NO_ID = new Uint8Array(32);
/** Tables of contents and bodies of manifests get no smaller by higher ones, which take four times as long. */
const METADATA_LEVEL = 3;
/** Raw length of a delta and of its base. */
export const DELTA_BYTES_MAX = 64 * MIB;
/** Of a delta's frame: 64 MiB. */
const DELTA_WINDOW_LOG_MAX = 26;

const compressAsync = promisify(zstdCompress);
const decompressAsync = promisify(zstdDecompress);

/** Where an item lies in its object. */
export interface ItemPlace {
  readonly itemNumber: number;
  readonly offset: number;
  readonly lengthBytes: number;
}

/** Builds an object item by item; the caller writes the parts in order. */
export class SealedObjectBuilder {
  readonly #cipher: ObjectCipher;
  readonly #entries: Buffer[] = [];
  #sizeBytes = HEADER_BYTES;
  #baseCount = 0;

  constructor(keyring: Keyring, name: string, header: Uint8Array) {
    this.#cipher = new ObjectCipher(keyring, name, header);
  }

  get itemCount(): number {
    return this.#entries.length - this.#baseCount;
  }

  /** Bytes of header and items so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Seals the next item. */
  add(facts: ItemFacts, bytes: Uint8Array): { place: ItemPlace; parts: readonly Uint8Array[] } {
    const itemNumber = this.itemCount;
    const parts = this.#cipher.seal(itemNumber, facts, bytes);
    const lengthBytes = bytes.length + TAG_BYTES;
    const entry = Buffer.alloc(ENTRY_BYTES);
    entry[0] = ITEM_KINDS[facts.kind];
    entry[1] = encodingNumber(facts.encoding);
    entry.writeUInt32BE(lengthBytes, 4);
    entry.writeUInt32BE(facts.rawLengthBytes, 8);
    entry.set(facts.id ?? NO_ID, 12);
    this.#entries.push(entry);
    if (facts.encoding === "zstd-delta") {
      this.#entries.push(Buffer.from(facts.baseId!));
      this.#baseCount += 1;
    }
    const place = { itemNumber, offset: this.#sizeBytes, lengthBytes };
    this.#sizeBytes += lengthBytes;
    return { place, parts };
  }

  /** The sealed contents and the trailer. */
  finish(): readonly Uint8Array[] {
    const contents = Buffer.concat(this.#entries);
    const { itemCount: itemNumber } = this;
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeUInt32BE(contents.length + TAG_BYTES, 0);
    trailer.writeUInt32BE(itemNumber, 4);
    TRAILER_MAGIC.copy(trailer, 8);
    return [...this.#cipher.seal(itemNumber, contentsFacts(contents.length), contents), trailer];
  }
}

/** Sealed length of the contents of so many items, none of them a delta. */
export function contentsBytes(itemCount: number): number {
  return itemCount * ENTRY_BYTES + TAG_BYTES;
}

function contentsFacts(lengthBytes: number): ItemFacts {
  return { kind: "contents", encoding: "none", rawLengthBytes: lengthBytes, id: null };
}

/** An item to be put into an object. */
export interface NewItem {
  readonly kind: ItemKind;
  readonly encoding: Encoding;
  /** Not yet encoded. */
  readonly bytes: Uint8Array;
}

/** A whole object of a few items. `isFirstAlone`: its first item, not encoded, may be read alone. */
export async function sealObject(
  sealing: { readonly keyring: Keyring; readonly random: Random },
  name: string,
  items: readonly NewItem[],
  isFirstAlone = false,
): Promise<Uint8Array> {
  const first = items[0];
  assert(!isFirstAlone || first?.encoding === "none", "an item read alone is not encoded");
  const header = makeHeader(sealing.keyring, sealing.random, isFirstAlone ? first!.bytes.length + TAG_BYTES : 0);
  const builder = new SealedObjectBuilder(sealing.keyring, name, header);
  const parts: Uint8Array[] = [header];
  const encode = async ({ encoding, bytes }: NewItem) => (encoding === "zstd" ? await compress(bytes) : bytes);
  const encoded = await Promise.all(items.map(encode));
  for (const [index, { kind, encoding, bytes }] of items.entries()) {
    parts.push(...builder.add({ kind, encoding, rawLengthBytes: bytes.length, id: null }, encoded[index]!).parts);
  }
  return Buffer.concat([...parts, ...builder.finish()]);
}

/** An item of an opened object. */
export interface ItemEntry extends ItemFacts, ItemPlace {}

/** An object whose contents are authentic. Items are authenticated when they are loaded. */
export interface OpenedObject {
  readonly items: readonly ItemEntry[];
  /** The decoded bytes of an item. Throws OperatingError "corrupt". */
  load(item: ItemEntry): Promise<Uint8Array>;
}

/** Opens a whole object from its bytes. Throws OperatingError "corrupt". */
export function openObject(keyring: Keyring, name: string, bytes: Uint8Array): OpenedObject {
  if (bytes.length < HEADER_BYTES + TAG_BYTES + TRAILER_BYTES) throw corrupt(name, "it is too short");
  const cipher = new ObjectCipher(keyring, name, bytes.subarray(0, HEADER_BYTES));
  const { lengthBytes } = readTrailer(name, bytes.subarray(bytes.length - TRAILER_BYTES));
  const contentsOffset = bytes.length - TRAILER_BYTES - lengthBytes;
  if (contentsOffset < HEADER_BYTES) throw corrupt(name, "its contents are longer than itself");
  const tail = bytes.subarray(contentsOffset);
  const items = openContents(cipher, name, { tail, sizeBytes: bytes.length });
  return {
    items,
    load: async (item) => {
      const sealed = bytes.subarray(item.offset, item.offset + item.lengthBytes);
      return await decode(name, item, cipher.unseal(item.itemNumber, item, sealed));
    },
  };
}

/** What a trailer says; to be believed only when the contents unseal with it. */
export function readTrailer(name: string, bytes: Uint8Array): { lengthBytes: number; itemNumber: number } {
  const trailer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!TRAILER_MAGIC.equals(trailer.subarray(8))) throw corrupt(name, "its end is missing");
  const lengthBytes = trailer.readUInt32BE(0);
  const itemNumber = trailer.readUInt32BE(4);
  const baseCount = (lengthBytes - contentsBytes(itemNumber)) / BASE_ID_BYTES;
  if (itemNumber > ITEM_COUNT_MAX || !Number.isInteger(baseCount) || baseCount < 0 || baseCount > itemNumber) {
    throw corrupt(name, "its trailer is no trailer");
  }
  return { lengthBytes, itemNumber };
}

/** The items of an object from its tail (sealed contents and trailer) and its size; lengths add up to the size. */
export function openContents(
  cipher: ObjectCipher,
  name: string,
  object: { readonly tail: Uint8Array; readonly sizeBytes: number },
): readonly ItemEntry[] {
  const { itemNumber } = readTrailer(name, object.tail.subarray(object.tail.length - TRAILER_BYTES));
  const sealed = object.tail.subarray(0, object.tail.length - TRAILER_BYTES);
  const plain = cipher.unseal(itemNumber, contentsFacts(sealed.length - TAG_BYTES), sealed);
  const contents = Buffer.from(plain.buffer, plain.byteOffset, plain.length);
  const items: ItemEntry[] = [];
  let [offset, position] = [HEADER_BYTES, 0];
  for (let index = 0; index < itemNumber; index += 1) {
    const item = readEntry(name, contents.subarray(position), index, offset);
    items.push(item);
    offset += item.lengthBytes;
    position += item.encoding === "zstd-delta" ? ENTRY_BYTES + BASE_ID_BYTES : ENTRY_BYTES;
  }
  if (position !== contents.length) throw corrupt(name, "its contents are not those of its items");
  if (offset + object.tail.length !== object.sizeBytes) throw corrupt(name, "its items do not add up to its size");
  return items;
}

/** The items of a stored object, from its end. Throws OperatingError "corrupt", "not_found". */
export async function readContents(
  storage: Storage,
  keyring: Keyring,
  object: StoredObject,
  signal?: AbortSignal,
): Promise<{ readonly cipher: ObjectCipher; readonly items: readonly ItemEntry[] }> {
  const { name, sizeBytes } = object;
  if (sizeBytes < HEADER_BYTES + TAG_BYTES + TRAILER_BYTES) throw corrupt(name, "it is too short");
  const header = await storage.read(name, { offset: 0, lengthBytes: HEADER_BYTES }, signal);
  const cipher = new ObjectCipher(keyring, name, header);
  const ending = { offset: sizeBytes - TRAILER_BYTES, lengthBytes: TRAILER_BYTES };
  const { lengthBytes } = readTrailer(name, await storage.read(name, ending, signal));
  const tailBytes = lengthBytes + TRAILER_BYTES;
  if (tailBytes > sizeBytes - HEADER_BYTES) throw corrupt(name, "its contents are longer than itself");
  const tail = await storage.read(name, { offset: sizeBytes - tailBytes, lengthBytes: tailBytes }, signal);
  return { cipher, items: openContents(cipher, name, { tail, sizeBytes }) };
}

/** `entry`: bytes that begin with it. */
function readEntry(name: string, entry: Buffer, itemNumber: number, offset: number): ItemEntry {
  if (entry.length < ENTRY_BYTES) throw corrupt(name, "its contents end too early");
  const kind = (Object.keys(ITEM_KINDS) as ItemKind[]).find((key) => ITEM_KINDS[key] === entry[0]);
  const encoding = encodingOf(entry[1]!);
  if (kind === undefined || encoding === null) {
    throw corrupt(name, `item ${itemNumber} is of a kind that this version does not know`);
  }
  const isDelta = encoding === "zstd-delta";
  const id = kind === "table" || kind === "large-objects" ? entry.subarray(12, 44) : null;
  const [lengthBytes, rawLengthBytes] = [entry.readUInt32BE(4), entry.readUInt32BE(8)];
  const item = { kind, encoding, id, itemNumber, offset, lengthBytes, rawLengthBytes };
  if (!isDelta) return item;
  const baseId = entry.subarray(ENTRY_BYTES, ENTRY_BYTES + BASE_ID_BYTES);
  if (id === null || baseId.length < BASE_ID_BYTES) throw corrupt(name, `item ${itemNumber} is no delta of a chunk`);
  return { ...item, baseId };
}

/** One zstd frame with a checksum. */
export async function compress(bytes: Uint8Array, level = METADATA_LEVEL): Promise<Uint8Array> {
  return await compressAsync(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
    chunkSize: Math.max(64, bytes.length),
    pledgedSrcSize: bytes.length,
  });
}

/** Decodes an item's bytes with its raw length as the bound; a delta with its base's plaintext. Throws OperatingError "corrupt". */
export async function decode(
  name: string,
  item: { readonly encoding: Encoding; readonly rawLengthBytes: number; readonly itemNumber: number },
  bytes: Uint8Array,
  base: Uint8Array | null = null,
): Promise<Uint8Array> {
  const { encoding, itemNumber, rawLengthBytes } = item;
  if (encoding === "none") return bytes;
  const isDelta = encoding === "zstd-delta";
  const lengthMax = isDelta ? DELTA_BYTES_MAX : ITEM_BYTES_MAX;
  if (rawLengthBytes > lengthMax) throw corrupt(name, `item ${itemNumber} is too long`);
  if (isDelta !== (base !== null)) throw corrupt(name, `item ${itemNumber} is a delta, and here is no base`);
  let raw: Uint8Array;
  try {
    const bound = Math.max(64, rawLengthBytes);
    const options = { chunkSize: bound, maxOutputLength: bound };
    const params = { [constants.ZSTD_d_windowLogMax]: DELTA_WINDOW_LOG_MAX };
    raw = await decompressAsync(bytes, base === null ? options : { ...options, params, dictionary: base });
  } catch (error) {
    throw corrupt(
      name,
      `could not decode item ${itemNumber}: ${error instanceof Error ? error.message : "zstd failed"}`,
    );
  }
  if (raw.length !== rawLengthBytes) {
    throw corrupt(name, `item ${itemNumber} has ${raw.length} bytes, not ${rawLengthBytes}`);
  }
  return raw;
}
