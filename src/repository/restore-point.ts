// An opened restore point: its manifest, the archive's table of contents, and its lists and chunks on demand.
// Lists are streamed; memory is bounded by a few pages whatever the number of chunks.

import { isOperatingError, messageOf } from "../base/errors.ts";
import type { ChunkReader, UnsealedChunk } from "./chunk-reader.ts";
import { mapAhead, RecentResults } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { manifestObjectName, packObjectName } from "./identifiers.ts";
import { lineageKeyOf } from "./lineages.ts";
import { SpanDecoder } from "./list-codec.ts";
import type { ChunkReference, LargeObjectRecord, SegmentRecord } from "./lists.ts";
import { decodeBody, decodeSummary, MANIFEST_BYTES_MAX, SUMMARY_BYTES_MAX } from "./manifest.ts";
import type { PackItemPlace } from "./moved.ts";
import type {
  LargeObjectSet,
  ListSpan,
  Manifest,
  ManifestBody,
  RelationRecord,
  RestorePointSummary,
} from "./manifest.ts";
import { corrupt, firstItemBytes, HEADER_BYTES, ITEM_BYTES_MAX, ObjectCipher, TAG_BYTES } from "./sealing.ts";
import { contentsBytes, decode, openContents, openObject, readTrailer, TRAILER_BYTES } from "./sealed-object.ts";
import type { ItemEntry } from "./sealed-object.ts";

const PAGES_KEPT_MAX = 12;
const SPANS_AHEAD = 4;
/** Summary, body, table of contents. */
const MANIFEST_ITEMS = 3;
const TAIL_BYTES = contentsBytes(MANIFEST_ITEMS) + TRAILER_BYTES;
/** Enough for the header and nearly every summary in one request. */
const SUMMARY_READ_BYTES = 8 * 1024;
/** Enough for header, summary and body of most manifests. */
const BODY_READ_BYTES = 64 * 1024;

/** A page that was read, and the name of the object it lies in. */
interface ListPage {
  readonly bytes: Uint8Array;
  readonly packName: string;
}

interface LastPage extends ListPage {
  readonly pageIndex: number;
}

/** Where an item of a pack lies now. */
type CurrentPlace = (place: PackItemPlace) => PackItemPlace;

/** See Repository.openRestorePoint(). Its iterations are independent of one another. */
export class RestorePoint {
  readonly id: string;
  readonly manifest: Manifest;
  /** The custom archive's head and table of contents as pg_dump wrote them. */
  readonly toc: Uint8Array;
  readonly chunks: ChunkReader;
  readonly #context: RepositoryContext;
  /** Given: it is there to be compared with. */
  readonly #currentPlace: CurrentPlace | null;
  readonly #pages = new RecentResults<number, ListPage>(PAGES_KEPT_MAX);
  /** The page that was used last: the next short list is mostly in it too. */
  #lastPage: LastPage | null = null;
  /** Packs that the storage did not let be read. */
  readonly #refusedPacks = new Set<string>();
  /** Of one to be compared with: why a list ended early though it is not damaged; null: none did. */
  refusedBecause: string | null = null;
  readonly #byDumpId: RelationIndex<number>;
  readonly #byOid: RelationIndex<number>;
  readonly #byName: RelationIndex<string>;

  constructor(context: RepositoryContext, chunks: ChunkReader, opened: OpenedManifest, currentPlace?: CurrentPlace) {
    this.#context = context;
    this.#currentPlace = currentPlace ?? null;
    this.chunks = chunks;
    this.manifest = opened.manifest;
    this.toc = opened.toc;
    this.id = opened.manifest.id;
    const { relations } = opened.manifest;
    this.#byDumpId = new RelationIndex(relations, ({ dumpId }) => dumpId);
    this.#byOid = new RelationIndex(relations, ({ oid }) => oid);
    this.#byName = new RelationIndex(relations, nameKey);
  }

  /**
   * The same restore point as something to compare with: a list ends where it is damaged, or the storage does not let it
   * be read, without an error. What is not found there is stored anew, so that costs deduplication and never a backup.
   * `currentPlace` says where a chunk of a pack that was repacked lies now.
   */
  forComparison(currentPlace: CurrentPlace): RestorePoint {
    return new RestorePoint(this.#context, this.chunks, { manifest: this.manifest, toc: this.toc }, currentPlace);
  }

  /** The relation with that dump id, oid or name; null when there is none. */
  findRelation(
    wanted: { dumpId: number } | { oid: number } | { namespace: string; name: string },
  ): RelationRecord | null {
    if ("dumpId" in wanted) return this.#byDumpId.find(wanted.dumpId);
    if ("oid" in wanted) return this.#byOid.find(wanted.oid);
    return this.#byName.find(nameKey(wanted));
  }

  /** The segments of a relation in order; a long one comes in several records. Throws OperatingError "corrupt". */
  segments(relation: RelationRecord, signal?: AbortSignal): AsyncGenerator<SegmentRecord> {
    return this.#records(relation.list, (decoder) => this.#placed(decoder.nextSegment()), signal);
  }

  /**
   * The same at once where the list is one span, as nearly every one is; null where it is longer. Of ten thousand tables it
   * takes a fraction of the time.
   */
  async shortSegments({ list }: RelationRecord): Promise<readonly SegmentRecord[] | null> {
    const [span] = list;
    if (span === undefined || list.length > 1) return null;
    const records: SegmentRecord[] = [];
    try {
      const decoder = this.#openSpanOf(this.#lastPage, span) ?? (await this.#openSpan(span));
      const next = (): SegmentRecord | null => this.#placed(decoder.nextSegment());
      for (let record = next(); record !== null; record = next()) records.push(record);
    } catch (error) {
      if (this.#currentPlace === null || !isDamage(error)) throw error;
    }
    return records;
  }

  /** The large objects of a set in order; a long one comes in several records. Throws OperatingError "corrupt". */
  largeObjects(set: LargeObjectSet, signal?: AbortSignal): AsyncGenerator<LargeObjectRecord> {
    return this.#records(set.list, (decoder) => this.#placedObjects(decoder.nextLargeObjects()), signal);
  }

  /** A chunk, authentic: one zstd frame or plain bytes, of a delta always these. */
  async readChunk(reference: ChunkReference, signal?: AbortSignal): Promise<UnsealedChunk> {
    return await this.chunks.read(reference, signal);
  }

  /** Many chunks in their order, neighbours fetched together, a few requests ahead. */
  readChunks(
    references: Iterable<ChunkReference> | AsyncIterable<ChunkReference>,
    signal?: AbortSignal,
  ): AsyncIterable<UnsealedChunk> {
    return this.chunks.readMany(references, signal);
  }

  /** The plaintext of a chunk: authentic, decoded within its raw length. */
  async loadChunk(reference: ChunkReference, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.chunks.load(reference, signal);
  }

  /** The plaintext of a chunk that was read, its id checked too. */
  async decodeChunk(chunk: UnsealedChunk): Promise<Uint8Array> {
    return await this.chunks.decode(chunk);
  }

  #placed<T extends { readonly chunks: readonly ChunkReference[] }>(record: T | null): T | null {
    const currentPlace = this.#currentPlace;
    if (record === null || currentPlace === null) return record;
    return { ...record, chunks: record.chunks.map((chunk) => placed(chunk, currentPlace)) };
  }

  #placedObjects(record: LargeObjectRecord | null): LargeObjectRecord | null {
    if (record?.kind !== "shared") return this.#placed(record);
    const [chunk] = this.#placed({ chunks: [record.chunk] })!.chunks;
    return { ...record, chunk: chunk! };
  }

  async *#records<T>(
    list: readonly ListSpan[],
    next: (decoder: SpanDecoder) => T | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T> {
    try {
      for await (const decoder of this.#spans(list, signal)) {
        for (let record = next(decoder); record !== null; record = next(decoder)) yield record;
      }
    } catch (error) {
      if (this.#currentPlace === null || !isDamage(error)) throw error;
    }
  }

  #spans(spans: readonly ListSpan[], signal: AbortSignal | undefined): AsyncGenerator<SpanDecoder> {
    return mapAhead(spans, SPANS_AHEAD, async (span) => {
      signal?.throwIfAborted();
      return await this.#openSpan(span);
    });
  }

  async #openSpan(span: ListSpan): Promise<SpanDecoder> {
    const [pageIndex] = span;
    const page = await this.#pages.get(pageIndex, async () => {
      return { bytes: await this.#readPage(pageIndex), packName: this.#pageName(pageIndex) };
    });
    this.#lastPage = { ...page, pageIndex };
    return this.#openSpanOf(this.#lastPage, span)!;
  }

  /** Null where the page is another one. */
  #openSpanOf(page: LastPage | null, [pageIndex, offset, length]: ListSpan): SpanDecoder | null {
    if (page?.pageIndex !== pageIndex) return null;
    return new SpanDecoder(page.bytes.subarray(offset, offset + length), page.packName);
  }

  #pageName(pageIndex: number): string {
    return packObjectName(this.manifest.packs[this.manifest.pages[pageIndex]![0]]![0]);
  }

  async #readPage(pageIndex: number): Promise<Uint8Array> {
    const [packIndex, itemNumber, offset, rawLengthBytes] = this.manifest.pages[pageIndex]!;
    if (rawLengthBytes + TAG_BYTES > ITEM_BYTES_MAX)
      throw corrupt(this.#pageName(pageIndex), "a list page is too long");
    const [pack] = this.manifest.packs[packIndex]!;
    if (this.#refusedPacks.has(pack)) throw corrupt(this.#pageName(pageIndex), "it may not be read");
    try {
      return await this.chunks.readPage({ pack, itemNumber, offset }, rawLengthBytes);
    } catch (error) {
      if (this.#currentPlace === null || !isRefusal(error)) throw error;
      this.refusedBecause ??= messageOf(error);
      this.#refusedPacks.add(pack);
      throw corrupt(this.#pageName(pageIndex), "it may not be read");
    }
  }
}

function placed(chunk: ChunkReference, currentPlace: CurrentPlace): ChunkReference {
  const place = currentPlace(chunk);
  const base = chunk.base === null ? null : placed(chunk.base, currentPlace);
  return place === chunk && base === chunk.base ? chunk : { ...chunk, ...placeOf(place), base };
}

function placeOf({ itemNumber, offset, pack }: PackItemPlace): PackItemPlace {
  return { pack, itemNumber, offset };
}

/** Relations by one of their keys, made when it is first asked for; of those that have a key in common, the first is found. */
class RelationIndex<K> {
  readonly #relations: readonly RelationRecord[];
  readonly #keyOf: (record: RelationRecord) => K;
  #byKey: ReadonlyMap<K, RelationRecord> | null = null;

  constructor(relations: readonly RelationRecord[], keyOf: (record: RelationRecord) => K) {
    this.#relations = relations;
    this.#keyOf = keyOf;
  }

  find(key: K): RelationRecord | null {
    this.#byKey ??= new Map(this.#relations.toReversed().map((record) => [this.#keyOf(record), record]));
    return this.#byKey.get(key) ?? null;
  }
}

function nameKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return JSON.stringify([namespace, name]);
}

/** A manifest's parts, authentic. */
export interface OpenedManifest {
  readonly manifest: Manifest;
  readonly toc: Uint8Array;
}

/** Opens a manifest from its bytes. Throws OperatingError "corrupt". */
export async function openManifest(
  context: RepositoryContext,
  name: string,
  bytes: Uint8Array,
): Promise<OpenedManifest> {
  if (bytes.length > MANIFEST_BYTES_MAX) throw corrupt(name, "it is too long");
  const object = openObject(context.keyring, name, bytes);
  const [summaryItem, bodyItem, tocItem] = object.items;
  if (summaryItem?.kind !== "summary" || bodyItem?.kind !== "body" || tocItem?.kind !== "toc") {
    throw corrupt(name, "it is no manifest");
  }
  const summary = checkSummary(context, name, await object.load(summaryItem));
  const loadedBody = object.load(bodyItem).then(decodeBody);
  const [body, toc] = await Promise.all([loadedBody, object.load(tocItem)]); // the one is decoded while the other is parsed
  if (body === null) throw corrupt(name, "its body is no manifest's");
  return { manifest: { ...summary, ...body }, toc };
}

/** Opens a manifest without the archive's table of contents, which is most of it. Throws as openManifest(). */
export async function readManifest(
  context: RepositoryContext,
  object: { readonly name: string; readonly sizeBytes: number },
  signal?: AbortSignal,
): Promise<Manifest> {
  const { body, summary } = await readSummaryAndBody(context, object, signal);
  return { ...summary, ...body };
}

/** The same in its two parts. */
export async function readSummaryAndBody(
  context: RepositoryContext,
  object: { readonly name: string; readonly sizeBytes: number },
  signal?: AbortSignal,
): Promise<{ readonly summary: RestorePointSummary; readonly body: ManifestBody }> {
  const { name, sizeBytes } = object;
  if (sizeBytes > MANIFEST_BYTES_MAX) throw corrupt(name, "it is too long");
  if (sizeBytes < HEADER_BYTES + TAIL_BYTES) throw corrupt(name, "it is too short");
  const lengthBytes = Math.min(BODY_READ_BYTES, sizeBytes);
  let bytes = await context.storage.read(name, { offset: 0, lengthBytes }, signal);
  const ending = { offset: sizeBytes - TAIL_BYTES, lengthBytes: TAIL_BYTES };
  const isAllRead = lengthBytes === sizeBytes;
  const tail = isAllRead ? bytes.subarray(ending.offset) : await context.storage.read(name, ending, signal);
  const { itemNumber } = readTrailer(name, tail.subarray(TAIL_BYTES - TRAILER_BYTES));
  if (itemNumber !== MANIFEST_ITEMS) throw corrupt(name, "it is no manifest");
  const cipher = new ObjectCipher(context.keyring, name, bytes.subarray(0, HEADER_BYTES));
  const [summaryItem, bodyItem] = openContents(cipher, name, { tail, sizeBytes });
  if (summaryItem?.kind !== "summary" || bodyItem?.kind !== "body") throw corrupt(name, "it is no manifest");
  const end = bodyItem.offset + bodyItem.lengthBytes;
  if (end > lengthBytes) bytes = await context.storage.read(name, { offset: 0, lengthBytes: end }, signal);
  const unseal = async (item: ItemEntry): Promise<Uint8Array> => {
    const sealed = bytes.subarray(item.offset, item.offset + item.lengthBytes);
    return await decode(name, item, cipher.unseal(item.itemNumber, item, sealed));
  };
  const summary = checkSummary(context, name, await unseal(summaryItem));
  const body = decodeBody(await unseal(bodyItem));
  if (body === null) throw corrupt(name, "its body is no manifest's");
  return { summary, body };
}

/** Reads only the summary of a manifest. Throws OperatingError "corrupt", "not_found". */
export async function readSummary(
  context: RepositoryContext,
  object: { readonly name: string; readonly sizeBytes: number },
  signal?: AbortSignal,
): Promise<RestorePointSummary> {
  const { name, sizeBytes } = object;
  const lengthBytes = Math.min(SUMMARY_READ_BYTES, sizeBytes);
  let bytes = await context.storage.read(name, { offset: 0, lengthBytes }, signal);
  if (bytes.length < HEADER_BYTES) throw corrupt(name, "it is too short");
  const header = bytes.subarray(0, HEADER_BYTES);
  const cipher = new ObjectCipher(context.keyring, name, header);
  const sealedBytes = firstItemBytes(header);
  const end = HEADER_BYTES + sealedBytes;
  if (sealedBytes < TAG_BYTES || sealedBytes > SUMMARY_BYTES_MAX + TAG_BYTES || end > sizeBytes) {
    throw corrupt(name, "its summary is not where it should be");
  }
  if (end > bytes.length) bytes = await context.storage.read(name, { offset: 0, lengthBytes: end }, signal);
  const facts = { kind: "summary", encoding: "none", rawLengthBytes: sealedBytes - TAG_BYTES, id: null } as const;
  return checkSummary(context, name, cipher.unseal(0, facts, bytes.subarray(HEADER_BYTES, end)));
}

function checkSummary(context: RepositoryContext, name: string, bytes: Uint8Array): RestorePointSummary {
  const summary = decodeSummary(bytes);
  if (summary === null) throw corrupt(name, "its summary is none");
  const expected = manifestObjectName(lineageKeyOf(context.keyring, summary.lineage), summary.id);
  if (expected !== name) throw corrupt(name, "it belongs elsewhere");
  return summary;
}

/** Rights are missing, or it lies where nothing can be read at once: trying again would not help. */
function isRefusal(error: unknown): boolean {
  if (!isOperatingError(error)) return false;
  return error.code === "permission_denied" || (error.code === "storage_failed" && !error.retryable);
}

/** True for errors that mean damage, not a failing storage. */
export function isDamage(error: unknown): boolean {
  return isOperatingError(error, "corrupt") || isOperatingError(error, "not_found");
}
