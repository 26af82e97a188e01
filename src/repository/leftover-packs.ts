// What runs of the same lineage that died or broke off have stored, taken over by the next one: whole packs, each read back
// and authenticated to its last byte before anything refers to it. The run's record claims the dead runs before it looks at
// their packs, and no prune may be at work then; so every later prune counts them as the run's own.
// Memory: about 60 bytes (90 of a delta) for each of at most CHUNK_COUNT_MAX chunks; one group of GROUP_BYTES_MAX, or one larger item.
// Source: docs/formats/repository.md §6 (taking over) and §7.

import { createHash, timingSafeEqual } from "node:crypto";
import { messageOf } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { chunkId } from "./chunk-id.ts";
import type { ChunkKind } from "./chunk-id.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import { mapAhead, RecentResults } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { packObjectName, packOfObject, PACKS_PREFIX, runOfPack } from "./identifiers.ts";
import { TAKEN_OVER_KINDS } from "./leftovers.ts";
import type { ChunkReference } from "./lists.ts";
import type { PackRecord } from "./manifest.ts";
import { readDamage } from "./marks.ts";
import { ListedForPruning, readPruneLists } from "./prune/prune-lists.ts";
import { isDamage } from "./restore-point.ts";
import { COPY_KIND, PRUNE_KIND } from "./retention/kinds.ts";
import type { ReusablePacks } from "./reuse.ts";
import type { RunObserver } from "./run-record.ts";
import { corrupt } from "./sealing.ts";
import { decode, openContents, readContents } from "./sealed-object.ts";
import type { ItemEntry } from "./sealed-object.ts";

/** From so many durable bytes on, it is worth it to take a run over that was given up. */
export const KEPT_BYTES_MIN = 256 * MIB;
/** Runs that one run takes over from, the newest. */
const CLAIMS_MAX = 8;
const CHUNK_COUNT_MAX = 1_000_000;
const CONTENTS_AHEAD = 8;
const CONTENTS_KEPT = 16;
const GROUP_BYTES_MAX = 4 * MIB;
const ITEMS_PER_PACK_MAX = 65_536;

/**
 * Dead runs of a lineage that may have left packs; a run's record names them before it looks at any. A copy takes over from
 * copies, whose chunks it brings again, and leaves those of backups to the next backup.
 */
export async function claimableRuns(
  observer: RunObserver,
  { kind, lineageName }: { readonly kind: string; readonly lineageName: string | null },
  signal?: AbortSignal,
): Promise<readonly string[]> {
  if (lineageName === null) return [];
  const runs = await observer.runs(signal);
  const own = runs.filter(({ record, state }) => {
    if (state !== "dead" || record?.lineageName !== lineageName || !TAKEN_OVER_KINDS.has(record.kind)) return false;
    return (record.kind === COPY_KIND) === (kind === COPY_KIND);
  });
  return own.map(({ runId }) => runId).toSorted().slice(-CLAIMS_MAX); // prettier-ignore
}

/** What was taken over, for receipts. */
export interface TakenOver {
  readonly runIds: readonly string[];
  readonly chunkCount: number;
  /** Sealed. */
  readonly bytes: number;
  /** Packs that were not taken over, and why. */
  readonly refused: readonly { readonly pack: string; readonly reason: string }[];
}

/** Where a chunk was found. */
type FoundChunk = Pick<ChunkReference, "pack" | "itemNumber" | "offset" | "lengthBytes" | "encoding" | "base">;

interface Place {
  readonly context: RepositoryContext;
  readonly observer: RunObserver;
  readonly chunks: ChunkReader;
}

/** A chunk that a run would store; of a delta, the base that it may refer to. */
type WantedChunk = Pick<ChunkReference, "kind" | "id" | "rawLengthBytes" | "base">;

/** See the head of this file. */
export class LeftoverPacks {
  readonly #place: Place;
  readonly #claims: readonly string[];
  readonly #reusable: ReusablePacks;
  /** By their numbers in the index. */
  readonly #packs: string[] = [];
  readonly #sizes = new Map<string, number>();
  /** The first 48 bits of an id to pack number and item number. */
  readonly #index = new Map<number, number>();
  /** Keys of the index that lead to deltas. */
  readonly #deltas = new Set<number>();
  readonly #contents = new RecentResults<string, readonly ItemEntry[]>(CONTENTS_KEPT);
  readonly #verified = new Map<string, Promise<boolean>>();
  readonly #refused: { pack: string; reason: string }[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #chunkCount = 0;
  #bytes = 0;

  private constructor(place: Place, claims: readonly string[], reusable: ReusablePacks) {
    this.#place = place;
    this.#claims = claims;
    this.#reusable = reusable;
  }

  /** Reads the contents of all packs that the claimed runs left; null when there are none, or a prune is at work. */
  static async find(
    place: Place,
    run: { readonly claims: readonly string[]; readonly reusable: ReusablePacks },
    signal?: AbortSignal,
  ): Promise<LeftoverPacks | null> {
    if (run.claims.length === 0 || (await isPruneAtWork(place.observer, signal))) return null;
    const found = new LeftoverPacks(place, run.claims, run.reusable);
    await found.#readAll(signal);
    return found;
  }

  get takenOver(): TakenOver {
    return { runIds: this.#claims, chunkCount: this.#chunkCount, bytes: this.#bytes, refused: this.#refused };
  }

  /**
   * Where that chunk lies in a pack that was read back whole; null: store it. A delta is taken over only by who brings
   * its base, with which it is decoded now: nothing says where the base lay that the dead run had.
   */
  async take(chunk: WantedChunk, signal?: AbortSignal): Promise<FoundChunk | null> {
    const at = this.#index.get(indexKey(chunk.id));
    if (at === undefined) return null;
    const pack = this.#packs[Math.floor(at / ITEMS_PER_PACK_MAX)]!;
    if (!(await this.#isWhole(pack, signal))) return null;
    const item = (await this.#contentsOf(pack, signal))[at % ITEMS_PER_PACK_MAX];
    const isIt =
      item?.id?.length === chunk.id.length &&
      item.kind === chunk.kind &&
      item.rawLengthBytes === chunk.rawLengthBytes &&
      timingSafeEqual(item.id, chunk.id);
    if (!isIt) return null;
    const { encoding, itemNumber, lengthBytes, offset } = item;
    const base = encoding === "zstd-delta" ? chunk.base : null;
    const found = { pack, itemNumber, offset, lengthBytes, encoding, base };
    if (encoding === "zstd-delta" && !(await this.#isRightDelta({ ...chunk, ...found }, item, signal))) return null;
    this.#chunkCount += 1;
    this.#bytes += lengthBytes;
    return found;
  }

  async #isRightDelta(
    delta: WantedChunk & FoundChunk,
    { baseId }: ItemEntry,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { chunks } = this.#place;
    if (delta.base === null || Buffer.compare(baseId!, delta.base.id) !== 0) return false;
    const facts = { rowCount: 0, continues: false };
    try {
      await chunks.decode(await chunks.read({ ...delta, ...facts }, signal));
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      // Damage of the base says nothing of the pack.
      if (await this.#isReadable(delta.base, signal))
        this.#refused.push({ pack: delta.pack, reason: messageOf(error) });
      return false;
    }
  }

  async #isReadable(base: ChunkReference, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await this.#place.chunks.load(base, signal);
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return false;
    }
  }

  /** Removes the records of the runs that were taken over: what is left of theirs is for prune. */
  async forgetRuns(): Promise<void> {
    for (const runId of this.#claims) await this.#place.observer.remove(runId);
  }

  async #readAll(signal: AbortSignal | undefined): Promise<void> {
    const { context } = this.#place;
    const damage = await readDamage(context, signal);
    const listed = new ListedForPruning(await readPruneLists(context, signal));
    for (const [pack, sizeBytes] of await packsOf(context, this.#claims, signal)) {
      // Not even to be taken back from the list: a prune that takes this run for dead meanwhile goes on deleting.
      if (damage.hasPack(pack) || listed.hasPack(pack) || listed.hasItemsOf(pack)) continue;
      this.#packs.push(pack);
      this.#sizes.set(pack, sizeBytes);
    }
    const reads = mapAhead(this.#packs.keys(), CONTENTS_AHEAD, async (number) => {
      const pack = this.#packs[number]!;
      const items = await this.#refusing(pack, signal, async () => await this.#contentsOf(pack, signal));
      return { number, items: (items ?? []).filter((item) => !damage.hasChunk({ pack, itemNumber: item.itemNumber })) };
    });
    for await (const { items, number } of reads) this.#addToIndex(number, items);
  }

  #addToIndex(packNumber: number, items: readonly ItemEntry[]): void {
    for (const { encoding, id, itemNumber } of items) {
      if (id === null || this.#index.size >= CHUNK_COUNT_MAX) continue;
      const key = indexKey(id);
      const isDelta = encoding === "zstd-delta";
      // A full chunk can be used by everybody, a delta only with its base.
      if (this.#index.has(key) && (isDelta || !this.#deltas.has(key))) continue;
      this.#index.set(key, packNumber * ITEMS_PER_PACK_MAX + itemNumber);
      if (isDelta) this.#deltas.add(key);
      else this.#deltas.delete(key);
    }
  }

  async #contentsOf(pack: string, signal: AbortSignal | undefined): Promise<readonly ItemEntry[]> {
    return await this.#contents.get(pack, async () => {
      const { keyring, storage } = this.#place.context;
      return (await readContents(storage, keyring, this.#objectOf(pack), signal)).items;
    });
  }

  #objectOf(pack: string): { readonly name: string; readonly sizeBytes: number } {
    return { name: packObjectName(pack), sizeBytes: this.#sizes.get(pack)! };
  }

  /** One pack after another: each is read to its end. */
  async #isWhole(pack: string, signal: AbortSignal | undefined): Promise<boolean> {
    const known = this.#verified.get(pack);
    if (known !== undefined) return await known;
    const verifying = this.#turn.then(async () => {
      const record = await this.#refusing(pack, signal, async () => {
        return await readBack(this.#place.context, pack, this.#objectOf(pack), signal);
      });
      if (record !== null) this.#reusable.adoptClaimed(record);
      return record !== null;
    });
    this.#verified.set(pack, verifying);
    this.#turn = verifying.catch(() => undefined);
    return await verifying;
  }

  /** Null when the pack is damaged or gone, which is remembered. */
  async #refusing<T>(pack: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T | null> {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#refused.push({ pack, reason: messageOf(error) });
      return null;
    }
  }
}

function indexKey(id: Uint8Array): number {
  return Buffer.from(id.buffer, id.byteOffset, id.length).readUIntBE(0, 6);
}

/** A prune that began before the claim was written may not have seen it. */
async function isPruneAtWork(observer: RunObserver, signal: AbortSignal | undefined): Promise<boolean> {
  const runs = await observer.runs(signal);
  return runs.some(({ record, state }) => state !== "dead" && (record === null || record.kind === PRUNE_KIND));
}

async function packsOf(
  context: RepositoryContext,
  runIds: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, number>> {
  const packs = new Map<string, number>();
  const moved = new Set<string>();
  for await (const { name, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
    const found = packOfObject(name);
    if (found === null || !runIds.includes(runOfPack(found.pack))) continue;
    if (found.isMoved) moved.add(found.pack);
    else packs.set(found.pack, sizeBytes);
  }
  for (const pack of moved) packs.delete(pack);
  return packs;
}

/** Reads a whole pack: every item authentic, every full chunk decoded and its id made again. Throws OperatingError "corrupt". */
async function readBack(
  context: RepositoryContext,
  pack: string,
  object: { readonly name: string; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<PackRecord> {
  const { keyring, storage } = context;
  const { name, sizeBytes } = object;
  const { cipher, items } = await readContents(storage, keyring, object, signal);
  const hash = createHash("sha256").update(cipher.header);
  let end = cipher.header.length;
  for (const group of groupsOf(items)) {
    signal?.throwIfAborted();
    const last = group.at(-1)!;
    const range = { offset: end, lengthBytes: last.offset + last.lengthBytes - end };
    const bytes = await storage.read(name, range, signal);
    hash.update(bytes);
    for (const item of group) {
      const sealed = bytes.subarray(item.offset - end, item.offset - end + item.lengthBytes);
      await checkChunk(context, name, item, cipher.unseal(item.itemNumber, item, sealed));
    }
    end = last.offset + last.lengthBytes;
  }
  // Authenticated again, since it is read again: the checksum is of authentic bytes.
  const tail = await storage.read(name, { offset: end, lengthBytes: sizeBytes - end }, signal);
  openContents(cipher, name, { tail, sizeBytes });
  return [pack, sizeBytes, hash.update(tail).digest("hex")];
}

async function checkChunk(context: RepositoryContext, name: string, item: ItemEntry, bytes: Uint8Array): Promise<void> {
  if (item.id === null || item.encoding === "zstd-delta") return;
  const raw = await decode(name, item, bytes);
  const kind: ChunkKind = item.kind === "large-objects" ? "large-objects" : "table";
  if (timingSafeEqual(chunkId(context.keyring.chunkIdSecret, kind, raw), item.id)) return;
  throw corrupt(name, `the contents of item ${item.itemNumber} do not match their id`);
}

function* groupsOf(items: readonly ItemEntry[]): Generator<readonly ItemEntry[]> {
  let group: ItemEntry[] = [];
  let bytes = 0;
  for (const item of items) {
    if (group.length > 0 && bytes + item.lengthBytes > GROUP_BYTES_MAX) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(item);
    bytes += item.lengthBytes;
  }
  if (group.length > 0) yield group;
}
