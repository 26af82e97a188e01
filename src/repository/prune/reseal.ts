// Which packs a prune seals anew because an earlier data key sealed them: needed ones, as they are, with all their items.
// Their old packs go at once, since nothing in them is left behind: whoever refers to them finds every item where it went.
// Manifests, marks and lists of prune are never sealed anew; those of earlier keys go when they expire.

import { mapAhead } from "../context.ts";
import { packObjectName, runOfPack } from "../identifiers.ts";
import { ItemSet } from "../item-set.ts";
import { MOVES_MAX } from "../moved.ts";
import { HEADER_BYTES } from "../sealing.ts";
import { ListedForPruning } from "./prune-lists.ts";
import type { PruneList } from "./prune-lists.ts";
import type { RepackJob } from "./repack.ts";
import { busyRuns, isCopyAtWork } from "./survey.ts";
import type { PruneWork } from "./types.ts";

const HEADERS_AHEAD = 8;
const DATA_KEY_ID_OFFSET = 16;

/** Jobs for packs of earlier data keys that no list names. One whose header cannot be read is left to `check`. */
export async function planReseals(work: PruneWork, lists: readonly PruneList[]): Promise<readonly RepackJob[]> {
  const { context, options, survey } = work;
  const { current } = context.keyring;
  if (current === null || !options.reseals || isCopyAtWork(survey)) return [];
  const listed = new ListedForPruning(lists);
  const busy = busyRuns(survey);
  const candidates = [...survey.packs].filter(([pack]) => {
    const isListed = listed.hasPack(pack) || listed.hasItemsOf(pack);
    const hasMovedTooOften = (survey.moves.get(pack) ?? 0) >= MOVES_MAX - 1;
    const isFree = !survey.movedPacks.has(pack) && !busy.has(runOfPack(pack)) && !isListed && !hasMovedTooOften;
    return isFree && survey.needed.has(pack);
  });
  const jobs: RepackJob[] = [];
  const reads = mapAhead(candidates, HEADERS_AHEAD, async ([pack, sizeBytes]) => {
    options.signal?.throwIfAborted();
    const range = { offset: 0, lengthBytes: Math.min(HEADER_BYTES, sizeBytes) };
    const header = await context.storage.read(packObjectName(pack), range, options.signal);
    const dataKeyId = header.subarray(DATA_KEY_ID_OFFSET, DATA_KEY_ID_OFFSET + current.id.length);
    return { pack, sizeBytes, isCurrent: Buffer.compare(dataKeyId, current.id) === 0 };
  });
  for await (const { isCurrent, pack, sizeBytes } of reads) {
    if (!isCurrent) jobs.push({ pack, sizeBytes, dropped: new ItemSet(), droppedBytes: 0 });
  }
  return jobs;
}
