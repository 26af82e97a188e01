// The first step of prune: lists packs that nobody needs, and the unneeded items of packs that are needed for others,
// when all of these together are more than the user lets be. Memory: see live-items.ts.

import { runOfPack } from "../identifiers.ts";
import { rangesOf } from "../item-set.ts";
import type { ItemRange } from "../item-set.ts";
import { TAKEN_OVER_KINDS } from "../leftovers.ts";
import { MOVES_MAX } from "../moved.ts";
import { findLiveItems, readUnused } from "./live-items.ts";
import { ListedForPruning, writePruneList } from "./prune-lists.ts";
import type { PruneList } from "./prune-lists.ts";
import type { PruneWork } from "./types.ts";
import { busyRuns, isCopyAtWork, unneededPacks } from "./survey.ts";
import type { Survey } from "./survey.ts";

interface PartlyUsedPack {
  readonly pack: string;
  readonly sizeBytes: number;
  /** Of its unneeded items. */
  readonly bytes: number;
  readonly ranges: readonly ItemRange[];
}

/** Writes a new list, if there is anything to be listed that no list names yet. */
export async function listUnneeded(
  work: PruneWork,
  lists: readonly PruneList[],
  newestId: string | null,
): Promise<void> {
  const { context, decide, options, survey } = work;
  const listed = new ListedForPruning(lists);
  const nowMs = context.clock.now().getTime();
  const awaiting = awaitingRuns(survey, nowMs, options.graceMs);
  const isListable = (pack: string): boolean => !listed.hasPack(pack) && !awaiting.has(runOfPack(pack));
  const packs = unneededPacks(survey).filter(isListable);
  const until = new Date(nowMs + options.graceMs).toISOString();
  for (const pack of packs) {
    const reason = `no restore point needs it; a prune after ${until} deletes it`;
    decide({ action: "listed", name: pack, sizeBytes: survey.packs.get(pack) ?? 0, reason, failure: null });
  }
  const unusedBytesMax = totalBytes(work, packs) * options.unusedFractionMax;
  const partly = choosePacks(await partlyUsed(work, listed, unusedBytesMax), unusedBytesMax);
  for (const { bytes, pack, sizeBytes } of partly) {
    const share = Math.round((bytes / sizeBytes) * 100);
    const reason = `${share} % of it is not needed; a prune after ${until} repacks it`;
    decide({ action: "listed-in-part", name: pack, sizeBytes: bytes, reason, failure: null });
  }
  if (options.isDryRun || packs.length + partly.length === 0) return;
  const items = Object.fromEntries(partly.map(({ pack, ranges }) => [pack, ranges]));
  const runs = survey.runs.filter(({ runId, state }) => state !== "dead" && runId !== work.runId);
  work.beacon?.check();
  await writePruneList(context, { packs, items, runs: runs.map(({ runId }) => runId) }, newestId);
}

/** Runs that broke off within the grace: their lineage's next run may take over what they left, which it cannot once it is listed. */
function awaitingRuns({ runs }: Survey, nowMs: number, graceMs: number): ReadonlySet<string> {
  const awaiting = runs.filter(({ record, state }) => {
    if (state !== "dead" || record?.brokenOffAt === undefined || !TAKEN_OVER_KINDS.has(record.kind)) return false;
    return Math.abs(nowMs - Date.parse(record.brokenOffAt)) < graceMs;
  });
  return new Set(awaiting.map(({ runId }) => runId));
}

function totalBytes({ survey }: PruneWork, unneeded: readonly string[]): number {
  const sum = (sizes: Iterable<number>): number => [...sizes].reduce((total, size) => total + size, 0);
  return sum(survey.packs.values()) - sum(unneeded.map((pack) => survey.packs.get(pack) ?? 0));
}

/** The emptiest packs, until what is left unused in all others is within the bound. */
function choosePacks(packs: readonly PartlyUsedPack[], unusedBytesMax: number): readonly PartlyUsedPack[] {
  const share = ({ bytes, sizeBytes }: PartlyUsedPack): number => bytes / sizeBytes;
  const emptiestFirst = packs.toSorted((one, other) => share(other) - share(one) || (one.pack < other.pack ? -1 : 1));
  let leftBytes = packs.reduce((sum, { bytes }) => sum + bytes, 0);
  return emptiestFirst.filter(({ bytes }) => {
    const isChosen = leftBytes > unusedBytesMax;
    if (isChosen) leftBytes -= bytes;
    return isChosen;
  });
}

/** Packs that are needed for some of their items only. A pack whose run's restore point is there is needed as a whole. */
async function partlyUsed(
  work: PruneWork,
  listed: ListedForPruning,
  unusedBytesMax: number,
): Promise<readonly PartlyUsedPack[]> {
  const { chunks, context, options, survey } = work;
  if (isCopyAtWork(survey)) return [];
  const busy = busyRuns(survey);
  const candidates = [...survey.packs.keys()].filter((pack) => {
    const runId = runOfPack(pack);
    const isWhole = survey.neededRuns.has(runId) || busy.has(runId);
    const isListed = listed.hasPack(pack) || listed.hasItemsOf(pack);
    const hasMovedTooOften = (survey.moves.get(pack) ?? 0) >= MOVES_MAX - 1;
    return survey.needed.has(pack) && !survey.movedPacks.has(pack) && !isWhole && !isListed && !hasMovedTooOften;
  });
  const candidateBytes = candidates.reduce((sum, pack) => sum + survey.packs.get(pack)!, 0);
  if (candidateBytes <= unusedBytesMax) return [];
  const live = await findLiveItems(context, chunks, { survey, packs: candidates }, options.signal);
  const found: PartlyUsedPack[] = [];
  for (const pack of candidates) {
    options.signal?.throwIfAborted();
    if (live.unknown.has(pack)) continue;
    const unused = await readUnused(context, { pack, sizeBytes: survey.packs.get(pack)!, live }, options.signal);
    if (unused === null || unused.length === 0) continue;
    const bytes = unused.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    const ranges = rangesOf(unused.map(({ itemNumber }) => itemNumber));
    found.push({ pack, sizeBytes: survey.packs.get(pack)!, bytes, ranges });
  }
  return found;
}
