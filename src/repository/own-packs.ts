// Whether the packs that a run wrote itself are still there. They are not when others took the run for dead, because its
// machine slept, and pruned them. Source: docs/formats/repository.md §6 (commit), §9 (repacking).

import { OperatingError } from "../base/errors.ts";
import { mapAhead } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { packObjectName, packOfObject, PACKS_PREFIX } from "./identifiers.ts";
import type { PackRecord } from "./manifest.ts";
import { ListedForPruning, readPruneLists } from "./prune/prune-lists.ts";

const HEADS_AT_ONCE = 8;
/** From so many packs on, one listing is cheaper than asking for each. */
const LISTING_PACKS_MIN = 256;

/** Throws OperatingError "corrupt" unless each of these packs is there, of its size, and on no prune list. */
export async function confirmOwnPacks(
  context: RepositoryContext,
  packs: readonly PackRecord[],
  signal?: AbortSignal,
): Promise<void> {
  if (packs.length === 0) return;
  // First the lists: one that is carried out meanwhile is seen, or its pack is missed; a later one takes back what is needed.
  const listed = new ListedForPruning(await readPruneLists(context, signal));
  const sizes = await sizesOf(context, packs, signal);
  for (const [name, size] of packs) {
    const found = sizes.get(name);
    const isRight = found === size && !listed.hasPack(name);
    if (isRight) continue;
    const problem = listed.hasPack(name) ? "is about to be pruned" : found === undefined ? "is missing" : `has ${found} bytes, not ${size}`; // prettier-ignore
    throw new OperatingError("corrupt", `pack ${name}, which this run wrote, ${problem}`, {
      hint: "Run it again. If the machine slept meanwhile, others may have taken the run for dead.",
      retryable: true,
    });
  }
}

async function sizesOf(
  context: RepositoryContext,
  packs: readonly PackRecord[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  if (packs.length >= LISTING_PACKS_MIN) {
    for await (const { name, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
      const found = packOfObject(name);
      if (found !== null && !found.isMoved) sizes.set(found.pack, sizeBytes);
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
