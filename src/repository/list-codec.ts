// Records of lists as bytes. Source: docs/formats/repository.md §5 (records, chunks, varints).
// Every span is readable by itself: it brings the names of the packs that it refers to.

import { assert } from "../base/assert.ts";
import type { ChunkKind } from "./chunk-id.ts";
import { isPackName } from "./identifiers.ts";
import type { ChunkReference, LargeObjectRecord, SegmentRecord } from "./lists.ts";
import { DELTA_BYTES_MAX } from "./sealed-object.ts";
import { corrupt, encodingNumber, encodingOf, ITEM_BYTES_MAX, ITEM_COUNT_MAX } from "./sealing.ts";

/** Longer segments and objects come in several records. */
export const RECORD_CHUNKS_MAX = 1024;
export const RECORD_OBJECTS_MAX = 16 * 1024;
const PACK_NAME_BYTES_MAX = 64;
/** More than a chunk with its base, a large object and a record's head can need: an id, a pack's name, a few varints. */
const CHUNK_BYTES_MAX = 2 * 192;
const OBJECT_BYTES_MAX = 16;
const HEAD_BYTES_MAX = 64;
const VARINT_BYTES_MAX = 8;
const ID_BYTES = 32;

const SEGMENT = 1;
const SHARED_OBJECTS = 2;
const OWN_OBJECT = 3;
const CONTINUES_PREVIOUS = 1;
const OID_MAX = 2 ** 32 - 1;

/** True when the one may lean on the other: depth is one, and both are short enough. */
export function isDeltaOf(chunk: ChunkReference, base: ChunkReference): boolean {
  const isRight = chunk.encoding === "zstd-delta" && base.encoding !== "zstd-delta" && base.base === null;
  const isOther = chunk.pack !== base.pack || chunk.itemNumber !== base.itemNumber;
  return (
    isRight &&
    isOther &&
    chunk.kind === base.kind &&
    Math.max(chunk.rawLengthBytes, base.rawLengthBytes) <= DELTA_BYTES_MAX
  );
}

/** Collects records into the bytes of one span. */
export class SpanEncoder {
  #bytes = Buffer.allocUnsafe(HEAD_BYTES_MAX);
  #length = 0;
  #packs = new Map<string, number>();

  get lengthBytes(): number {
    return this.#length;
  }

  addSegment(record: SegmentRecord): void {
    this.#reserve(record.chunks.length * CHUNK_BYTES_MAX);
    this.#number(SEGMENT);
    this.#number(record.continuesPrevious === true ? CONTINUES_PREVIOUS : 0);
    this.#number(record.firstBlock);
    this.#number(record.blockCount === null ? 0 : record.blockCount + 1);
    this.#number(record.rowCount);
    this.#chunks(record.chunks, "table");
  }

  addLargeObjects(record: LargeObjectRecord): void {
    if (record.kind === "own") {
      this.#reserve(record.chunks.length * CHUNK_BYTES_MAX);
      this.#number(OWN_OBJECT);
      this.#number(record.continuesPrevious === true ? CONTINUES_PREVIOUS : 0);
      this.#number(record.oid);
      this.#number(record.lengthBytes);
      return this.#chunks(record.chunks, "large-objects");
    }
    assert(record.objects.length <= RECORD_OBJECTS_MAX, "a record is within its limits");
    this.#reserve(CHUNK_BYTES_MAX + record.objects.length * OBJECT_BYTES_MAX);
    this.#number(SHARED_OBJECTS);
    this.#number(0);
    this.#chunk(record.chunk, "large-objects");
    this.#number(record.objects.length);
    for (const { oid, lengthBytes } of record.objects) {
      this.#number(oid);
      this.#number(lengthBytes);
    }
  }

  /** The span so far, which then begins anew. */
  take(): Uint8Array {
    const bytes = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    this.#packs = new Map();
    return bytes;
  }

  #chunks(chunks: readonly ChunkReference[], kind: ChunkKind): void {
    assert(chunks.length <= RECORD_CHUNKS_MAX, "a record is within its limits");
    this.#number(chunks.length);
    for (const chunk of chunks) this.#chunk(chunk, kind);
  }

  #chunk(chunk: ChunkReference, kind: ChunkKind): void {
    assert(chunk.id.length === ID_BYTES && chunk.kind === kind, "a chunk has an id and stands in a list of its kind");
    this.#bytes.set(chunk.id, this.#length);
    this.#length += ID_BYTES;
    this.#pack(chunk.pack);
    this.#number(chunk.itemNumber);
    this.#number(chunk.offset);
    this.#number(chunk.lengthBytes);
    this.#number(chunk.rawLengthBytes);
    this.#number(chunk.rowCount);
    this.#number((chunk.continues ? 1 : 0) | (encodingNumber(chunk.encoding) << 1));
    if (chunk.base === null) return assert(chunk.encoding !== "zstd-delta", "a delta has a base");
    assert(isDeltaOf(chunk, chunk.base), "a base is a full chunk, and what leans on it a delta");
    this.#chunk(chunk.base, kind);
  }

  #pack(name: string): void {
    const known = this.#packs.get(name);
    if (known !== undefined) return this.#number(known);
    this.#number(this.#packs.size);
    this.#packs.set(name, this.#packs.size);
    this.#number(name.length);
    this.#length += this.#bytes.write(name, this.#length, "latin1");
  }

  #number(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a number of a record is a count");
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length] = (rest % 0x80) + 0x80;
      this.#length += 1;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length] = rest;
    this.#length += 1;
  }

  #reserve(moreBytes: number): void {
    const neededBytes = this.#length + HEAD_BYTES_MAX + moreBytes;
    if (this.#bytes.length >= neededBytes) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, neededBytes));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Decodes the records of a span. Every number is bounded; anything odd throws OperatingError "corrupt". */
export class SpanDecoder {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  readonly #packs: string[] = [];
  #position = 0;

  constructor(bytes: Uint8Array, objectName: string) {
    this.#bytes = bytes;
    this.#name = objectName;
  }

  /** The next segment, or null at the end. */
  nextSegment(): SegmentRecord | null {
    if (this.#position === this.#bytes.length) return null;
    this.#expect(this.#number() === SEGMENT);
    const continuesPrevious = (this.#number() & CONTINUES_PREVIOUS) !== 0;
    const firstBlock = this.#number();
    const blocks = this.#number();
    const rowCount = this.#number();
    const chunks = this.#chunks("table");
    return { firstBlock, blockCount: blocks === 0 ? null : blocks - 1, rowCount, chunks, continuesPrevious };
  }

  /** The next record of large objects, or null at the end. */
  nextLargeObjects(): LargeObjectRecord | null {
    if (this.#position === this.#bytes.length) return null;
    const kind = this.#number();
    const continuesPrevious = (this.#number() & CONTINUES_PREVIOUS) !== 0;
    if (kind === OWN_OBJECT) {
      const oid = this.#number(OID_MAX);
      const lengthBytes = this.#number();
      return { kind: "own", oid, lengthBytes, chunks: this.#chunks("large-objects"), continuesPrevious };
    }
    this.#expect(kind === SHARED_OBJECTS);
    const chunk = this.#chunk("large-objects");
    const count = this.#number(RECORD_OBJECTS_MAX);
    const objects: { oid: number; lengthBytes: number }[] = [];
    let total = 0;
    for (let index = 0; index < count; index += 1) {
      const object = { oid: this.#number(OID_MAX), lengthBytes: this.#number() };
      total += object.lengthBytes;
      objects.push(object);
    }
    this.#expect(total === chunk.rawLengthBytes);
    return { kind: "shared", chunk, objects };
  }

  #chunks(kind: ChunkKind): ChunkReference[] {
    const count = this.#number(RECORD_CHUNKS_MAX);
    const chunks: ChunkReference[] = [];
    for (let index = 0; index < count; index += 1) chunks.push(this.#chunk(kind));
    return chunks;
  }

  #chunk(kind: ChunkKind): ChunkReference {
    const chunk = this.#fullOrDelta(kind);
    if (chunk.encoding !== "zstd-delta") return chunk;
    const base = this.#fullOrDelta(kind);
    if (!isDeltaOf(chunk, base)) throw corrupt(this.#name, "a delta has a base that is no full chunk");
    return { ...chunk, base };
  }

  /** A chunk without the base that may follow. */
  #fullOrDelta(kind: ChunkKind): ChunkReference {
    const id = this.#take(ID_BYTES);
    const pack = this.#pack();
    const itemNumber = this.#number(ITEM_COUNT_MAX);
    const offset = this.#number();
    const lengthBytes = this.#number(ITEM_BYTES_MAX);
    const rawLengthBytes = this.#number(ITEM_BYTES_MAX);
    const rowCount = this.#number();
    const flags = this.#number(7);
    const encoding = encodingOf(flags >> 1);
    if (encoding === null) throw corrupt(this.#name, "a chunk has an encoding that this version does not know");
    const continues = (flags & 1) !== 0;
    const base = null;
    return { kind, id, pack, itemNumber, offset, lengthBytes, rawLengthBytes, rowCount, continues, encoding, base };
  }

  #pack(): string {
    const index = this.#number(this.#packs.length);
    const known = this.#packs[index];
    if (known !== undefined) return known;
    const name = Buffer.from(this.#take(this.#number(PACK_NAME_BYTES_MAX))).toString("latin1");
    this.#expect(isPackName(name));
    this.#packs.push(name);
    return name;
  }

  #take(count: number): Uint8Array {
    const end = this.#position + count;
    this.#expect(end <= this.#bytes.length);
    const bytes = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return bytes;
  }

  #number(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let index = 0; index < VARINT_BYTES_MAX; index += 1) {
      this.#expect(this.#position < this.#bytes.length);
      const byte = this.#bytes[this.#position]!;
      this.#position += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#expect(value <= max);
        return value;
      }
      scale *= 0x80;
    }
    throw corrupt(this.#name, "a number in a list is too long");
  }

  #expect(condition: boolean): asserts condition {
    if (!condition) throw corrupt(this.#name, "a list is not what was written");
  }
}
