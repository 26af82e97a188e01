// Which packs and chunks of the parent a run may refer to: there, of the right size, not marked damaged, not on a prune
// list. Packs of the parent that were repacked are taken over from where their items went.
// Source: docs/formats/repository.md §6 (commit), §8, §9. Memory: one bit for each item that the run refers to.

import { OperatingError } from "../base/errors.ts";
import { mapAhead } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { packOfObject, packObjectName, PACKS_PREFIX } from "./identifiers.ts";
import { ItemSet } from "./item-set.ts";
import type { ChunkReference } from "./lists.ts";
import type { PackRecord } from "./manifest.ts";
import { readDamage } from "./marks.ts";
import type { Damage, DamageRegister } from "./marks.ts";
import { MOVES_MAX, readMoved } from "./moved.ts";
import type { MovedItems, PackItemPlace } from "./moved.ts";
import { ListedForPruning, readPruneLists } from "./prune/prune-lists.ts";

const HEADS_AT_ONCE = 8;
/** From so many packs on, one listing is cheaper than asking for each. */
const LISTING_PACKS_MIN = 256;

/** What is known of packs that a run refers to or wants to. */
interface PackFacts {
  readonly damage: DamageRegister;
  readonly listed: ListedForPruning;
  readonly sizes: ReadonlyMap<string, number>;
  /** Of packs that are not there themselves. */
  readonly moved: ReadonlyMap<string, MovedItems>;
  /** What the packs that items moved to are said to have. */
  readonly movedSizes: ReadonlyMap<string, number>;
}

/** What a run may take over from its parent, and what of it the run does refer to. */
export class ReusablePacks {
  readonly #context: RepositoryContext;
  readonly #facts: PackFacts;
  readonly #packs: Map<string, PackRecord>;
  readonly #items = new Map<string, ItemSet>();
  /** Packs of dead runs that this run's record claims. */
  readonly #claimed = new Set<string>();
  /** Of chunks that the run itself could not read back. */
  readonly #found: Damage[] = [];

  private constructor(context: RepositoryContext, packs: Map<string, PackRecord>, facts: PackFacts) {
    this.#context = context;
    this.#packs = packs;
    this.#facts = facts;
  }

  /** Looks at these packs: those of the parent, and what else the run wants to refer to. */
  static async find(
    context: RepositoryContext,
    packs: readonly PackRecord[],
    signal?: AbortSignal,
  ): Promise<ReusablePacks> {
    const facts = await readFacts(context, packs, signal);
    const targets = [...facts.moved.values()].flatMap((moved) => moved.packs);
    const isGood = ([name, size]: PackRecord): boolean => {
      const { damage, listed, sizes } = facts;
      return sizes.get(name) === size && !damage.hasPack(name) && !listed.hasPack(name);
    };
    const good = [...packs, ...targets].filter(isGood).map((pack) => [pack[0], pack] as const);
    return new ReusablePacks(context, new Map(good), facts);
  }

  /** Where a chunk of the parent lies now; its old place, which canReuse() refuses, when it is damaged or left behind. */
  currentPlace(place: PackItemPlace): PackItemPlace {
    const now = whereNow(this.#facts, place);
    return now === null || now.isDamaged ? place : now.place;
  }

  /** True when a new restore point may refer to that chunk and to what it leans on, both given as currentPlace() has it. */
  canReuse({ base, itemNumber, pack }: Pick<ChunkReference, "pack" | "itemNumber" | "base">): boolean {
    const { damage, listed } = this.#facts;
    if (base !== null && !this.canReuse(base)) return false;
    return this.#packs.has(pack) && !damage.hasChunk({ pack, itemNumber }) && !listed.hasItem(pack, itemNumber);
  }

  /** The record of a pack, null when it may not be reused. */
  find(pack: string): PackRecord | null {
    return this.#packs.get(pack) ?? null;
  }

  /** All packs that may be referred to. */
  records(): readonly PackRecord[] {
    return [...this.#packs.values()];
  }

  /** True when nothing of a pack that was looked at is here, nor about to be removed: it may be written under its name. */
  isAbsent(pack: string): boolean {
    const { listed, moved, sizes } = this.#facts;
    return !this.#packs.has(pack) && !sizes.has(pack) && !moved.has(pack) && !listed.hasPack(pack);
  }

  /** The run may refer to that pack from now on: it has just written it. */
  adopt(record: PackRecord): void {
    this.#packs.set(record[0], record);
  }

  /** The same for a pack of a dead run that this run's record claims. */
  adoptClaimed(record: PackRecord): void {
    this.adopt(record);
    this.#claimed.add(record[0]);
  }

  /** What addDamage() was told. */
  get foundDamage(): readonly Damage[] {
    return this.#found;
  }

  /** The run could not read that chunk back: from now on it may not be referred to, and confirm() fails where it was. */
  addDamage(damage: Damage): void {
    this.#facts.damage.add(damage);
    this.#found.push(damage);
  }

  /** Remembers that the run refers to that item. */
  refer(pack: string, itemNumber: number): void {
    const items = this.#items.get(pack) ?? new ItemSet();
    this.#items.set(pack, items);
    items.add(itemNumber);
  }

  /** Throws OperatingError unless all of these packs, and the items in them, may still be referred to. */
  async confirm(packs: readonly PackRecord[], signal?: AbortSignal): Promise<void> {
    if (packs.length === 0) return;
    const facts = await readFacts(this.#context, packs, signal);
    for (const damage of this.#found) facts.damage.add(damage); // the mark may not have been allowed
    for (const record of packs) {
      const isClaimed = this.#claimed.has(record[0]);
      const problem = problemOf(record, this.#items.get(record[0]) ?? new ItemSet(), facts);
      if (problem === null) continue;
      const from = isClaimed ? "a run that broke off" : "its parent";
      throw new OperatingError("corrupt", `pack ${record[0]}, which this backup takes over from ${from}, ${problem}`, {
        hint: "Run the backup again: it will store anew what it can no longer take over.",
        retryable: true,
      });
    }
  }
}

function problemOf([name, size]: PackRecord, items: ItemSet, facts: PackFacts): string | null {
  const { listed, damage, moved, sizes } = facts;
  const found = sizes.get(name);
  if (damage.hasPack(name)) return "was found damaged";
  if (listed.hasPack(name)) return "is about to be pruned";
  if (found !== undefined && found !== size) return `has ${found} bytes, not ${size}`;
  if (found === undefined && !moved.has(name)) return "is missing";
  for (const itemNumber of items) {
    if (listed.hasItem(name, itemNumber)) return "is about to be repacked without a chunk that the backup needs";
    const problem = problemOfItem(name, itemNumber, facts);
    if (problem !== null) return problem;
  }
  return null;
}

function problemOfItem(name: string, itemNumber: number, facts: PackFacts): string | null {
  const { listed, movedSizes, sizes } = facts;
  const now = whereNow(facts, { pack: name, itemNumber, offset: 0 });
  if (now === null) return "was repacked without a chunk that the backup needs";
  if (now.isDamaged) return "has a chunk that was found damaged";
  const { place } = now;
  if (place.pack === name) return null;
  const [found, expected] = [sizes.get(place.pack), movedSizes.get(place.pack)];
  if (found === undefined) return `was repacked into ${place.pack}, which is missing`;
  if (found !== expected) return `was repacked into ${place.pack}, which has ${found} bytes, not ${expected}`;
  if (!listed.hasItem(place.pack, place.itemNumber)) return null;
  return `was repacked into ${place.pack}, which is about to lose a chunk that the backup needs`;
}

/** Where an item lies now, and whether it is called damaged anywhere on the way; null when a repacking left it behind. */
function whereNow(
  { damage, moved }: PackFacts,
  start: PackItemPlace,
): { readonly place: PackItemPlace; readonly isDamaged: boolean } | null {
  let place: PackItemPlace | null = start;
  let isDamaged = false;
  for (let moves = 0; place !== null && moves <= MOVES_MAX; moves += 1) {
    isDamaged ||= damage.hasChunk(place);
    const items = moved.get(place.pack);
    if (items === undefined) return { place, isDamaged };
    place = items.find(place.itemNumber);
  }
  return null;
}

async function readFacts(
  context: RepositoryContext,
  packs: readonly PackRecord[],
  signal: AbortSignal | undefined,
): Promise<PackFacts> {
  const damage = await readDamage(context, signal);
  // Before and after looking at the packs: a list that is carried out meanwhile is among the first, a new one among the last.
  const before = await readPruneLists(context, signal);
  const sizes = new Map<string, number>();
  const moved = new Map<string, MovedItems>();
  let wanted: readonly string[] = packs.map(([name]) => name);
  for (let moves = 0; wanted.length > 0 && moves <= MOVES_MAX; moves += 1) {
    await addSizes(context, wanted, sizes, signal);
    const targets = new Set<string>();
    for (const name of wanted) {
      const items = sizes.has(name) ? null : await readMoved(context, name, signal);
      if (items === null) continue;
      moved.set(name, items);
      for (const [target] of items.packs) if (!sizes.has(target) && !moved.has(target)) targets.add(target);
    }
    wanted = [...targets];
  }
  const listed = new ListedForPruning([...before, ...(await readPruneLists(context, signal))]);
  const movedSizes = new Map([...moved.values()].flatMap(({ packs: targets }) => targets.map(([name, size]) => [name, size] as const))); // prettier-ignore
  return { damage, sizes, moved, movedSizes, listed };
}

/** Adds the sizes of those packs that are there. */
async function addSizes(
  context: RepositoryContext,
  packs: readonly string[],
  sizes: Map<string, number>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (packs.length >= LISTING_PACKS_MIN) {
    const wanted = new Set(packs);
    for await (const { name, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
      const found = packOfObject(name);
      if (found !== null && !found.isMoved && wanted.has(found.pack)) sizes.set(found.pack, sizeBytes);
    }
    return;
  }
  const heads = mapAhead(packs, HEADS_AT_ONCE, async (pack) => {
    const found = await context.storage.head(packObjectName(pack), signal);
    if (found !== null) sizes.set(pack, found.sizeBytes);
  });
  for await (const _ of heads);
}
