// Which packs of the parent a run may refer to: there, of the right size, not marked damaged, not on a prune list.
// Source: docs/formats/repository.md §6 (commit), §8, §9.

import { OperatingError } from "../base/errors.ts";
import { mapAhead } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { packObjectName, PACKS_PREFIX, PRUNE_PREFIX } from "./identifiers.ts";
import type { ChunkReference } from "./lists.ts";
import type { PackRecord } from "./manifest.ts";
import type { DamageRegister } from "./marks.ts";
import { readDamage } from "./marks.ts";
import type { RestorePoint } from "./restore-point.ts";
import { corrupt } from "./sealing.ts";
import { openObject } from "./sealed-object.ts";

const HEADS_AT_ONCE = 8;
/** From so many packs on, one listing is cheaper than asking for each. */
const LISTING_PACKS_MIN = 256;

/** What a run may take over from its parent. */
export class ReusablePacks {
  readonly #context: RepositoryContext;
  readonly #packs: ReadonlyMap<string, PackRecord>;
  readonly #damage: DamageRegister;

  private constructor(context: RepositoryContext, packs: ReadonlyMap<string, PackRecord>, damage: DamageRegister) {
    this.#context = context;
    this.#packs = packs;
    this.#damage = damage;
  }

  /** Looks at every pack of the parent. */
  static async find(
    context: RepositoryContext,
    parent: RestorePoint | null,
    signal?: AbortSignal,
  ): Promise<ReusablePacks> {
    const packs = parent?.manifest.packs ?? [];
    if (packs.length === 0) return new ReusablePacks(context, new Map(), await readDamage(context, signal));
    const damage = await readDamage(context, signal);
    const listed = await readPruneLists(context, signal);
    const sizes = await packSizes(context, packs, signal);
    const isGood = ([name, size]: PackRecord): boolean => {
      return sizes.get(name) === size && !damage.hasPack(name) && !listed.has(name);
    };
    return new ReusablePacks(context, new Map(packs.filter(isGood).map((pack) => [pack[0], pack])), damage);
  }

  /** True when a new restore point may refer to that chunk of the parent. */
  canReuse(reference: Pick<ChunkReference, "pack" | "itemNumber">): boolean {
    return this.#packs.has(reference.pack) && !this.#damage.hasChunk(reference);
  }

  /** The parent's record of a pack, null when it may not be reused. */
  find(pack: string): PackRecord | null {
    return this.#packs.get(pack) ?? null;
  }

  /** Throws OperatingError unless all of these packs may still be referred to. */
  async confirm(packs: readonly PackRecord[], signal?: AbortSignal): Promise<void> {
    if (packs.length === 0) return;
    const [damage, listed] = [await readDamage(this.#context, signal), await readPruneLists(this.#context, signal)];
    const sizes = await packSizes(this.#context, packs, signal);
    for (const [name, size] of packs) {
      const found = sizes.get(name);
      const problem =
        found === undefined ? "is missing"
        : found !== size ? `has ${found} bytes, not ${size}`
        : damage.hasPack(name) ? "was found damaged"
        : listed.has(name) ? "is about to be pruned"
        : null; // prettier-ignore
      if (problem === null) continue;
      throw new OperatingError("corrupt", `pack ${name}, which this backup takes over from its parent, ${problem}`, {
        hint: "Run the backup again: it will store anew what it can no longer take over.",
        retryable: true,
      });
    }
  }
}

/** Sizes of those packs that are there. */
async function packSizes(
  context: RepositoryContext,
  packs: readonly PackRecord[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  if (packs.length >= LISTING_PACKS_MIN) {
    const wanted = new Set(packs.map(([name]) => name));
    for await (const { name, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
      const pack = name.slice(name.lastIndexOf("/") + 1);
      if (wanted.has(pack) && packObjectName(pack) === name) sizes.set(pack, sizeBytes);
    }
    return sizes;
  }
  const heads = mapAhead(packs, HEADS_AT_ONCE, async ([name]) => {
    const found = await context.storage.head(packObjectName(name), signal);
    if (found !== null) sizes.set(name, found.sizeBytes);
  });
  for await (const _ of heads);
  return sizes;
}

/** All packs on prune lists. A list that cannot be read is an error: reuse would be a gamble. */
async function readPruneLists(
  context: RepositoryContext,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const listed = new Set<string>();
  for await (const { name } of context.storage.list(PRUNE_PREFIX, signal)) {
    const object = openObject(context.keyring, name, await context.storage.read(name, undefined, signal));
    const item = object.items[0];
    if (item?.kind !== "prune") throw corrupt(name, "it is no prune list");
    const { packs } = JSON.parse(Buffer.from(await object.load(item)).toString("utf8")) as { packs: string[] };
    for (const pack of packs) listed.add(pack);
  }
  return listed;
}
