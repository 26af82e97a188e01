// Prune lists: what nobody needs, written down a day before it is removed, so that runs stop taking it over.
// Source: docs/formats/repository.md §9. Memory: the names and ranges of all lists there are.

import { MIB } from "../../base/units.ts";
import { readListed } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { isId, isPackName, makeId, PRUNE_PREFIX } from "../identifiers.ts";
import { itemSetOf } from "../item-set.ts";
import type { ItemRange, ItemSet } from "../item-set.ts";
import { corrupt, ITEM_COUNT_MAX } from "../sealing.ts";
import { openObject, sealObject } from "../sealed-object.ts";

const LIST_BYTES_MAX = 512 * MIB;

/** What a list names. */
export interface PruneListContents {
  /** Packs that no restore point needs. */
  readonly packs: readonly string[];
  /** Packs of which only these items are not needed: they are to be repacked without them. */
  readonly items: Readonly<Record<string, readonly ItemRange[]>>;
  /** Runs that may have been at work when the list was written. */
  readonly runs: readonly string[];
}

/** A list that is there. */
export interface PruneList extends PruneListContents {
  readonly id: string;
}

/** Writes a list under an id after `newest`'s. */
export async function writePruneList(
  context: RepositoryContext,
  contents: PruneListContents,
  newest: string | null,
): Promise<PruneList> {
  const id = makeId(context.clock.now(), context.random, newest);
  const name = `${PRUNE_PREFIX}${id}`;
  const bytes = Buffer.from(JSON.stringify(contents));
  const object = await sealObject(context, name, [{ kind: "prune", encoding: "zstd", bytes }]);
  await context.storage.put(name, object, { ifAbsent: true });
  return { id, ...contents };
}

/** Removes a list: what it still names may be taken over again. */
export async function deletePruneList(context: RepositoryContext, { id }: PruneList): Promise<void> {
  await context.storage.delete(`${PRUNE_PREFIX}${id}`);
}

/** All lists, oldest first. One that cannot be read is an error: taking over without it would be a gamble. */
export async function readPruneLists(context: RepositoryContext, signal?: AbortSignal): Promise<readonly PruneList[]> {
  const lists: PruneList[] = [];
  for await (const { name, sizeBytes } of context.storage.list(PRUNE_PREFIX, signal)) {
    const id = name.slice(PRUNE_PREFIX.length);
    if (!isId(id)) continue;
    if (sizeBytes > LIST_BYTES_MAX) throw corrupt(name, "it is too long");
    const bytes = await readListed(context, name, signal);
    // Carried out since it was listed.
    if (bytes === null) continue;
    const object = openObject(context.keyring, name, bytes);
    const item = object.items[0];
    if (item?.kind !== "prune" || item.rawLengthBytes > LIST_BYTES_MAX) throw corrupt(name, "it is no prune list");
    const contents = parse(await object.load(item));
    if (contents === null) throw corrupt(name, "it is no prune list");
    lists.push({ id, ...contents });
  }
  return lists.toSorted((one, other) => (one.id < other.id ? -1 : 1));
}

function parse(bytes: Uint8Array): PruneListContents | null {
  try {
    const { items, packs, runs } = JSON.parse(Buffer.from(bytes).toString("utf8")) as PruneListContents;
    const areNames = packs.every(isPackName) && Object.keys(items).every(isPackName) && runs.every(isId);
    const areRanges = Object.values(items).every((ranges) => {
      return ranges.every(([first, last]) => {
        return Number.isSafeInteger(first) && first >= 0 && first <= last && last <= ITEM_COUNT_MAX;
      });
    });
    return areNames && areRanges ? { packs, items, runs } : null;
  } catch {
    return null;
  }
}

/** Everything that any list names. */
export class ListedForPruning {
  readonly #packs: ReadonlySet<string>;
  readonly #items = new Map<string, ItemSet>();

  constructor(lists: readonly PruneList[]) {
    this.#packs = new Set(lists.flatMap(({ packs }) => packs));
    for (const [pack, ranges] of lists.flatMap(({ items }) => Object.entries(items))) {
      const known = this.#items.get(pack);
      if (known === undefined) this.#items.set(pack, itemSetOf(ranges));
      else for (const itemNumber of itemSetOf(ranges)) known.add(itemNumber);
    }
  }

  /** True when the pack as a whole is about to be removed. */
  hasPack(pack: string): boolean {
    return this.#packs.has(pack);
  }

  /** True when that item is about to be removed, alone or with its pack. */
  hasItem(pack: string, itemNumber: number): boolean {
    return this.#packs.has(pack) || (this.#items.get(pack)?.has(itemNumber) ?? false);
  }

  /** True when some items of the pack are about to be removed. */
  hasItemsOf(pack: string): boolean {
    return this.#items.has(pack);
  }
}
