// Where the items of a repacked pack went: <pack>.moved, written before the pack is deleted. Who misses a pack looks
// there, and there again when the new pack was repacked too. Source: docs/formats/repository.md §9.
// Memory: 20 bytes for each item that was moved, of at most PACKS_KEPT_MAX packs.

import { isOperatingError, OperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { RepositoryContext } from "./context.ts";
import { RecentResults } from "./context.ts";
import { isPackName, movedObjectName } from "./identifiers.ts";
import type { PackRecord } from "./manifest.ts";
import { corrupt, ITEM_COUNT_MAX } from "./sealing.ts";
import { openObject, sealObject } from "./sealed-object.ts";

/** So often may an item have moved; prune moves none more often. */
export const MOVES_MAX = 16;
const PACKS_KEPT_MAX = 64;
const MOVED_BYTES_MAX = 16 * MIB;

/** Where an item of a pack lies. */
export interface PackItemPlace {
  readonly pack: string;
  readonly itemNumber: number;
  readonly offset: number;
}

/** An item's old number and its new place. */
export interface MovedItem extends PackItemPlace {
  readonly oldNumber: number;
}

/** `[old item number, index of the new pack, new item number, new offset]`. */
type MovedEntry = readonly [number, number, number, number];

interface MovedDocument {
  readonly packs: readonly PackRecord[];
  readonly items: readonly MovedEntry[];
}

/** Where the items of one pack went. */
export class MovedItems {
  /** The new packs. */
  readonly packs: readonly PackRecord[];
  readonly #oldNumbers: Uint32Array;
  readonly #packIndexes: Uint32Array;
  readonly #newNumbers: Uint32Array;
  readonly #offsets: Float64Array;

  /** `items` in the order of their old numbers. */
  constructor({ items, packs }: MovedDocument) {
    this.packs = packs;
    this.#oldNumbers = Uint32Array.from(items, ([oldNumber]) => oldNumber);
    this.#packIndexes = Uint32Array.from(items, ([, packIndex]) => packIndex);
    this.#newNumbers = Uint32Array.from(items, ([, , newNumber]) => newNumber);
    this.#offsets = Float64Array.from(items, ([, , , offset]) => offset);
  }

  /** The new place of an item; null when it was not moved: nobody needed it. */
  find(itemNumber: number): PackItemPlace | null {
    let [low, high] = [0, this.#oldNumbers.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#oldNumbers[middle]! < itemNumber) low = middle + 1;
      else high = middle;
    }
    if (this.#oldNumbers[low] !== itemNumber) return null;
    const [pack] = this.packs[this.#packIndexes[low]!]!;
    return { pack, itemNumber: this.#newNumbers[low]!, offset: this.#offsets[low]! };
  }
}

/** Says where the items of a pack went; durable when it returns. Throws OperatingError "locked" when another prune said so. */
export async function writeMoved(
  context: RepositoryContext,
  oldPack: string,
  moved: { readonly packs: readonly PackRecord[]; readonly items: readonly MovedItem[] },
): Promise<void> {
  const indexes = new Map(moved.packs.map(([name], index) => [name, index]));
  const items = moved.items.map(({ itemNumber, offset, oldNumber, pack }): MovedEntry => {
    return [oldNumber, indexes.get(pack)!, itemNumber, offset];
  });
  const document: MovedDocument = { packs: moved.packs, items: items.toSorted(([one], [other]) => one - other) };
  const name = movedObjectName(oldPack);
  const bytes = Buffer.from(JSON.stringify(document));
  const object = await sealObject(context, name, [{ kind: "moved", encoding: "zstd", bytes }]);
  let isThere = false;
  try {
    await context.storage.put(name, object, { ifAbsent: true });
  } catch (error) {
    if (!isOperatingError(error, "repository_exists")) throw error;
    isThere = true;
  }
  const found = await context.storage.read(name);
  if (isThere && Buffer.compare(found, object) !== 0) {
    throw new OperatingError("locked", `pack ${oldPack} was repacked by another prune meanwhile`);
  }
  if (Buffer.compare(found, object) !== 0) throw corrupt(name, "it was read back otherwise than it was written");
}

/** Where the items of a pack went; null when nothing says so. Throws OperatingError "corrupt". */
export async function readMoved(
  context: RepositoryContext,
  oldPack: string,
  signal?: AbortSignal,
): Promise<MovedItems | null> {
  const name = movedObjectName(oldPack);
  let bytes: Uint8Array;
  try {
    bytes = await context.storage.read(name, undefined, signal);
  } catch (error) {
    if (isOperatingError(error, "not_found")) return null;
    throw error;
  }
  if (bytes.length > MOVED_BYTES_MAX) throw corrupt(name, "it is too long");
  const object = openObject(context.keyring, name, bytes);
  const item = object.items[0];
  if (item?.kind !== "moved" || item.rawLengthBytes > MOVED_BYTES_MAX)
    throw corrupt(name, "it is no list of moved items");
  const document = parse(await object.load(item));
  if (document === null) throw corrupt(name, "it is no list of moved items");
  return new MovedItems(document);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parse(bytes: Uint8Array): MovedDocument | null {
  try {
    const { items, packs } = JSON.parse(Buffer.from(bytes).toString("utf8")) as MovedDocument;
    if (!Array.isArray(items) || !Array.isArray(packs) || items.length > ITEM_COUNT_MAX) return null;
    const arePacks = packs.every(
      ([name, size, sha256]) => isPackName(name) && isCount(size) && /^[0-9a-f]{64}$/.test(sha256),
    );
    const areItems = items.every((entry, index) => {
      const isInOrder = index === 0 || items[index - 1]![0] < entry[0];
      return entry.length === 4 && entry.every(isCount) && isInOrder && entry[1] < packs.length;
    });
    return arePacks && areItems ? { packs, items } : null;
  } catch {
    return null;
  }
}

/** Follows items that moved. Share one: it remembers where the items of the packs that it met went. */
export class MovedPacks {
  readonly #context: RepositoryContext;
  readonly #results = new RecentResults<string, MovedItems | null>(PACKS_KEPT_MAX);
  readonly #movedPacks = new Set<string>();

  constructor(context: RepositoryContext) {
    this.#context = context;
  }

  /** Reads an item where it lies: at its place, or where it went. Throws what the read at its place threw. */
  async following<T>(place: PackItemPlace, read: (place: PackItemPlace) => Promise<T>): Promise<T> {
    let current = place;
    for (let moves = 0; ; moves += 1) {
      try {
        if (!this.#movedPacks.has(current.pack)) return await read(current);
      } catch (error) {
        if (!isOperatingError(error, "not_found") || (await this.#find(current.pack)) === null) throw error;
        this.#movedPacks.add(current.pack);
      }
      const next = (await this.#find(current.pack))?.find(current.itemNumber) ?? null;
      if (next === null || moves >= MOVES_MAX) return await read(current);
      current = next;
    }
  }

  async #find(pack: string): Promise<MovedItems | null> {
    return await this.#results.get(pack, async () => await readMoved(this.#context, pack));
  }
}
