// The second step of prune: deletes and repacks what lists of the past name and is still not needed; first it finishes
// repackings that were broken off. Packs that are to be sealed anew (reseal.ts) are repacked together with these.

import { messageOf } from "../../base/errors.ts";
import { movedObjectName, packObjectName, runOfPack } from "../identifiers.ts";
import { ItemSet, itemSetOf } from "../item-set.ts";
import { findLiveItems, readUnused } from "./live-items.ts";
import type { LiveItems } from "./live-items.ts";
import { deletePruneList } from "./prune-lists.ts";
import type { PruneList } from "./prune-lists.ts";
import type { PruneDecision, PruneWork } from "./types.ts";
import { repack } from "./repack.ts";
import type { RepackJob } from "./repack.ts";
import { planReseals } from "./reseal.ts";
import { busyRuns, unneededPacks } from "./survey.ts";

/** Carries lists out whose time has come, of all that there are; returns those that have to stay because something failed. */
export async function carryOut(
  work: PruneWork,
  lists: readonly PruneList[],
  allLists: readonly PruneList[],
): Promise<readonly PruneList[]> {
  const failed = new Set<string>();
  const report = (decision: PruneDecision): void => {
    if (decision.failure !== null) failed.add(decision.name);
    work.decide(decision);
  };
  await finishMoves(work, report);
  const unneeded = new Set(unneededPacks(work.survey));
  for (const list of lists) {
    for (const pack of list.packs) report(await deletePack(work, { pack, listId: list.id, isUnneeded: unneeded.has(pack) })); // prettier-ignore
  }
  const reseals = await planReseals(work, allLists);
  await repackAll(work, { listed: await planJobs(work, lists, report), reseals }, report);
  const remaining: PruneList[] = [];
  for (const list of lists) {
    const isSettled = [...list.packs, ...Object.keys(list.items)].every((pack) => !failed.has(pack));
    if (!isSettled) remaining.push(list);
    else if (!work.options.isDryRun) await deletePruneList(work.context, list);
  }
  return remaining;
}

/** A pack whose items are where a durable object says that they went is not needed any more. */
async function finishMoves(work: PruneWork, report: (decision: PruneDecision) => void): Promise<void> {
  const { moved, packs } = work.survey;
  for (const [pack, { packs: targets }] of moved) {
    const sizeBytes = packs.get(pack);
    if (sizeBytes === undefined) continue;
    const isThere = targets.every(([target, size]) => packs.get(target) === size || moved.has(target));
    const reason = "its items were moved by a prune that was broken off";
    const decision = { action: "finished-move", name: pack, sizeBytes, reason } as const;
    if (!isThere) report({ ...decision, failure: "a pack that its items moved to is not there" });
    else report({ ...decision, failure: await removeObjects(work, pack, [packObjectName(pack)]) });
  }
}

async function deletePack(
  work: PruneWork,
  { isUnneeded, listId, pack }: { readonly pack: string; readonly listId: string; readonly isUnneeded: boolean },
): Promise<PruneDecision> {
  const { movedPacks, packs } = work.survey;
  const sizeBytes = packs.get(pack) ?? 0;
  if (!packs.has(pack) && !movedPacks.has(pack)) {
    return { action: "deleted", name: pack, sizeBytes: 0, reason: "it is gone already", failure: null };
  }
  if (!isUnneeded) {
    const reason = "listed, but a restore point needs it or its run may be at work";
    return { action: "taken-back", name: pack, sizeBytes, reason, failure: null };
  }
  const failure = await removeObjects(work, pack, [packObjectName(pack), movedObjectName(pack)]);
  return {
    action: "deleted",
    name: pack,
    sizeBytes,
    reason: `listed at ${listId}, and no restore point needs it`,
    failure,
  };
}

/** Null when it is done. In a dry run only the survey changes. */
async function removeObjects(work: PruneWork, pack: string, names: readonly string[]): Promise<string | null> {
  const { beacon, context, options, survey } = work;
  options.signal?.throwIfAborted();
  try {
    if (!options.isDryRun) {
      beacon?.check();
      for (const name of names) await context.storage.delete(name, options.signal);
    }
    for (const name of names) (name === movedObjectName(pack) ? survey.movedPacks : survey.packs).delete(pack);
    return null;
  } catch (error) {
    options.signal?.throwIfAborted();
    return messageOf(error);
  }
}

async function repackAll(
  work: PruneWork,
  { listed, reseals }: { readonly listed: readonly RepackJob[]; readonly reseals: readonly RepackJob[] },
  report: (decision: PruneDecision) => void,
): Promise<void> {
  const { beacon, context, options, survey } = work;
  const jobs = [...listed, ...reseals];
  const onDone = (job: RepackJob, failure: string | null): void => {
    const { dropped, droppedBytes, pack, sizeBytes } = job;
    if (failure === null) survey.packs.delete(pack);
    if (reseals.includes(job)) {
      const reason = "an earlier data key sealed it";
      return report({ action: "resealed", name: pack, sizeBytes, reason, failure });
    }
    const reason = `${dropped.size} of its items were listed and are not needed`;
    report({ action: "repacked", name: pack, sizeBytes: droppedBytes, reason, failure });
  };
  if (options.isDryRun) for (const job of jobs) onDone(job, null);
  else if (jobs.length > 0) {
    const { runId } = work;
    const packs = await repack(context, jobs, { runId, beacon: beacon!, signal: options.signal, onDone });
    for (const [pack, sizeBytes] of packs) survey.packs.set(pack, sizeBytes);
  }
}

/** Packs to be repacked, each without what was listed and is still not needed. */
async function planJobs(
  work: PruneWork,
  lists: readonly PruneList[],
  report: (decision: PruneDecision) => void,
): Promise<RepackJob[]> {
  const { chunks, context, options, survey } = work;
  const listed = new Map(lists.flatMap(({ items }) => Object.entries(items)));
  const busy = busyRuns(survey);
  const packs = [...listed.keys()].filter((pack) => {
    const isThere = survey.packs.has(pack) && !survey.movedPacks.has(pack);
    return isThere && survey.needed.has(pack) && !busy.has(runOfPack(pack));
  });
  const live = await findLiveItems(context, chunks, { survey, packs }, options.signal);
  const jobs: RepackJob[] = [];
  for (const pack of packs) {
    const sizeBytes = survey.packs.get(pack)!;
    const job = await planJob(work, { pack, sizeBytes, live, listed: itemSetOf(listed.get(pack)!) });
    if (typeof job !== "string") jobs.push(job);
    else report({ action: "taken-back", name: pack, sizeBytes, reason: job, failure: null });
  }
  return jobs;
}

/** A sentence where there is nothing to be done. */
async function planJob(
  { context, options }: PruneWork,
  asked: { readonly pack: string; readonly sizeBytes: number; readonly live: LiveItems; readonly listed: ItemSet },
): Promise<RepackJob | string> {
  const { listed, live, pack, sizeBytes } = asked;
  if (live.unknown.has(pack)) return "listed in part, but a list that refers to it cannot be read";
  const unused = await readUnused(context, asked, options.signal);
  if (unused === null) return "listed in part, but its contents cannot be read";
  const dropped = new ItemSet();
  let droppedBytes = 0;
  for (const { itemNumber, lengthBytes } of unused) {
    if (!listed.has(itemNumber)) continue;
    dropped.add(itemNumber);
    droppedBytes += lengthBytes;
  }
  return dropped.size === 0 ? "listed in part, but all of that is needed" : { pack, sizeBytes, dropped, droppedBytes };
}
