// Prune: gives the space of expired restore points and broken runs back, in two steps with a grace between them. First
// what nobody needs is listed, and runs stop taking it over; a later prune deletes what is listed for long enough, is
// still not needed, and was not listed while a run was at work that still is. Source: docs/formats/repository.md §9.
// Whatever fails for one pack is reported and the rest goes on; a list goes when all that it names is settled.

import { setTimeout as delay } from "node:timers/promises";
import { OperatingError } from "../../base/errors.ts";
import { refuseChangedKeys } from "../changed-keys.ts";
import { makeId, timeOfId } from "../identifiers.ts";
import { removeDeadLeftovers } from "../leftovers.ts";
import { EXPIRE_KIND, PRUNE_KIND } from "../retention/kinds.ts";
import { RunBeacon } from "../run-record.ts";
import type { RunObserver } from "../run-record.ts";
import { carryOut } from "./carry-out.ts";
import { listUnneeded } from "./list-unneeded.ts";
import { deletePruneList, readPruneLists } from "./prune-lists.ts";
import type { PruneList } from "./prune-lists.ts";
import { deleteMarksOfNobody, listMarks } from "./prune-marks.ts";
import type { PruneDecision, PruneOptions, PrunePlace, PruneResult, PruneWork, WaitingList } from "./types.ts";
import { surveyRepository } from "./survey.ts";
import type { Survey } from "./survey.ts";
import { watchRuns } from "./watch-runs.ts";

/** A list whose time lies further ahead was not written by a right clock. */
const CLOCK_AHEAD_MS_MAX = 7 * 86_400_000;

/** One prune. Throws OperatingError "locked" beside another one and after a change of the keys, "corrupt" while a manifest or list cannot be read. */
export async function prune(place: PrunePlace, options: PruneOptions): Promise<PruneResult> {
  const { context, observer } = place;
  const runId = makeId(context.clock.now(), context.random);
  if (options.isDryRun) return await work(place, options, { beacon: null, runId });
  const beacon = await RunBeacon.start(context, { runId, kind: PRUNE_KIND, lineageName: null });
  try {
    if (options.isWaiting) await watch(place, options, runId);
    await refuseChangedKeys(context, observer, place.generation, options.signal);
    await refuseSecondPrune(observer, runId, options.signal);
    await removeDeadLeftovers(context, observer, options.signal);
    return await work(place, options, { beacon, runId });
  } finally {
    await beacon.end().catch(() => undefined);
  }
}

async function watch({ context, observer }: PrunePlace, options: PruneOptions, ownRunId: string): Promise<void> {
  const sleep = options.sleep ?? (async (timeMs, signal) => await delay(timeMs, undefined, signal && { signal }));
  const onWait = options.onWait ?? (() => undefined);
  await watchRuns(context, observer, { ownRunId, signal: options.signal, sleep, onWait });
}

/** Both write their records before they look, so of two that begin together at least one sees the other. */
async function refuseSecondPrune(
  observer: RunObserver,
  ownRunId: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const runs = await observer.runs(signal);
  const other = runs.find(({ record, runId, state }) => {
    const mayBePrune = record === null || record.kind === PRUNE_KIND;
    return runId !== ownRunId && state !== "dead" && mayBePrune;
  });
  if (other === undefined) return;
  const what =
    other.record === null
      ? `run ${other.runId}, whose record cannot be read, may be another prune at work`
      : `another prune is at work: ${other.runId} on "${other.record.hostName}"`;
  throw new OperatingError("locked", what, {
    hint: "Wait until it has ended. One that was killed counts as dead half an hour later.",
    retryable: true,
  });
}

async function work(
  { chunks, context, observer }: PrunePlace,
  options: PruneOptions,
  run: Pick<PruneWork, "beacon" | "runId">,
): Promise<PruneResult> {
  const { graceMs, signal } = options;
  const marks = await listMarks(context, signal);
  const lists = await readPruneLists(context, signal);
  const survey = await surveyRepository(context, observer, signal);
  refuseUnreadable(survey);
  const decisions: PruneDecision[] = [];
  const decide = (decision: PruneDecision): void => {
    decisions.push(decision);
  };
  const pruneWork: PruneWork = { context, chunks, options, survey, decide, ...run };
  const nowMs = context.clock.now().getTime();
  const { astray, inTime } = splitByClock(lists, nowMs);
  const waiting = inTime.flatMap((list) => waitingList(list, { nowMs, graceMs, survey, ownRunId: run.runId }) ?? []);
  const isWaiting = new Set(waiting.map(({ id }) => id));
  const remaining = await carryOut(pruneWork, inTime.filter(({ id }) => !isWaiting.has(id)), inTime); // prettier-ignore
  const stillThere = options.isDryRun ? inTime : [...inTime.filter(({ id }) => isWaiting.has(id)), ...remaining];
  await listUnneeded(pruneWork, stillThere, inTime.at(-1)?.id ?? null);
  // Only now: what they name and is still not needed stands on a new list.
  if (!options.isDryRun) for (const list of astray) await deletePruneList(context, list);
  await deleteMarksOfNobody(pruneWork, marks);
  const sizes = [...survey.packs.values()];
  return { decisions, waiting, packCount: sizes.length, totalBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Lists from a clock that was far ahead would wait as long as it was: they are written anew. */
function splitByClock(
  lists: readonly PruneList[],
  nowMs: number,
): { readonly inTime: readonly PruneList[]; readonly astray: readonly PruneList[] } {
  const isAstray = ({ id }: PruneList): boolean => timeOfId(id).getTime() > nowMs + CLOCK_AHEAD_MS_MAX;
  return { inTime: lists.filter((list) => !isAstray(list)), astray: lists.filter(isAstray) };
}

function refuseUnreadable({ unreadable }: Survey): void {
  const [first] = unreadable;
  if (first === undefined) return;
  throw new OperatingError(
    "corrupt",
    `${unreadable.length} objects that say what is needed cannot be read, the first is "${first}"`,
    {
      detail: "While nobody can say what they need, nothing is removed.",
      hint: 'See "cairn check". Put them back from a copy, or delete these objects yourself: what they name cannot be restored without them.',
    },
  );
}

/** Why a list has to wait; null when its time has come. */
function waitingList(
  list: PruneList,
  now: { readonly nowMs: number; readonly graceMs: number; readonly survey: Survey; readonly ownRunId: string },
): WaitingList | null {
  const packCount = list.packs.length + Object.keys(list.items).length;
  const readyMs = timeOfId(list.id).getTime() + now.graceMs;
  if (readyMs > now.nowMs) {
    return { id: list.id, packCount, reason: `its grace ends at ${new Date(readyMs).toISOString()}` };
  }
  const older = now.survey.runs.find(({ record, runId, state }) => {
    const mayRefer = runId !== now.ownRunId && state !== "dead" && record?.kind !== EXPIRE_KIND;
    return mayRefer && (runId < list.id || list.runs.includes(runId));
  });
  if (older === undefined) return null;
  const what = older.record === null ? "a run" : `a ${older.record.kind} on "${older.record.hostName}"`;
  return { id: list.id, packCount, reason: `${what}, run ${older.runId}, began before it and may be at work` };
}
