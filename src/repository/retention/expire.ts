// Expire: removes the manifests of restore points that no rule keeps, and nothing else; packs are prune's. What cannot be
// removed is reported, and the rest goes on. A hold that comes while it is at work is seen (see hold()).

import { messageOf } from "../../base/errors.ts";
import { refuseChangedKeys } from "../changed-keys.ts";
import type { RepositoryContext } from "../context.ts";
import { makeId } from "../identifiers.ts";
import type { Listings } from "../listing/listings.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { RunBeacon } from "../run-record.ts";
import type { RunObserver } from "../run-record.ts";
import { readCandidates } from "./candidates.ts";
import type { ListedCandidate } from "./candidates.ts";
import { holdNames } from "./holds.ts";
import { EXPIRE_KIND } from "./kinds.ts";
import { planRetention } from "./policy.ts";
import type { RetentionRules } from "./policy.ts";

/** Where an expire works. */
export interface ExpirePlace {
  readonly context: RepositoryContext;
  readonly observer: RunObserver;
  readonly listings: Listings;
  /** Of the configuration that was read. */
  readonly generation: number;
}

export interface ExpireOptions {
  readonly rules: RetentionRules;
  /** True: nothing is changed. */
  readonly isDryRun: boolean;
  readonly signal?: AbortSignal;
}

/** What became of a restore point. */
export interface ExpireDecision {
  readonly id: string;
  readonly lineageKey: string;
  /** Null when the manifest cannot be read. */
  readonly summary: RestorePointSummary | null;
  readonly isKept: boolean;
  readonly reasons: readonly string[];
  /** Why it could not be removed; null: it was, or it was not to be. */
  readonly failure: string | null;
}

/** Plans over all manifests and removes what is not kept; the decisions on the lineages that were asked for. */
export async function expire(place: ExpirePlace, options: ExpireOptions): Promise<readonly ExpireDecision[]> {
  const { context, listings } = place;
  if (options.isDryRun) return await decide(place, await listings.manifests(options.signal), options);
  const runId = makeId(context.clock.now(), context.random);
  const beacon = await RunBeacon.start(context, { runId, kind: EXPIRE_KIND, lineageName: null });
  try {
    await refuseChangedKeys(context, place.observer, place.generation, options.signal);
    const decisions = await decide(place, await listings.manifests(options.signal), options);
    const outcomes = new Map<PlannedDecision, ExpireDecision>();
    const keptMembers = new Map<string, string>();
    for (const decision of decisions.toSorted((one, other) => clusterRank(one) - clusterRank(other))) {
      options.signal?.throwIfAborted();
      const cluster = keptMembers.get(decision.id);
      const outcome =
        decision.isKept ? decision
        : cluster === undefined ? await remove(place, decision, { beacon, signal: options.signal })
        : { ...decision, isKept: true, reasons: [`the cluster restore point ${cluster}, which stays, names it`] }; // prettier-ignore
      outcomes.set(decision, outcome);
      const isThere = outcome.isKept || outcome.failure !== null;
      if (isThere) for (const member of membersOf(decision)) keptMembers.set(member, decision.id);
    }
    return decisions.map((decision) => outcomes.get(decision)!);
  } finally {
    await beacon.end().catch(() => undefined);
  }
}

function membersOf({ summary }: ExpireDecision): readonly string[] {
  return summary?.cluster?.members.flatMap(({ restorePointId }) => restorePointId ?? []) ?? [];
}

/** Cluster restore points go before what they name: broken off between, none is left that names what is gone. */
function clusterRank({ summary }: ExpireDecision): number {
  return summary?.cluster === undefined ? 1 : 0;
}

interface PlannedDecision extends ExpireDecision {
  readonly objectName: string;
}

async function decide(
  place: ExpirePlace,
  objects: readonly ManifestObject[],
  options: ExpireOptions,
): Promise<readonly PlannedDecision[]> {
  const { heads } = place.listings;
  const byName = new Map(objects.map((object) => [object.name, object]));
  for (;;) {
    const planned = await plan(place, objects, options);
    if (planned.every(({ isKept }) => isKept)) return inQuestion(planned, options);
    // What stays must be good now, not only when a listing cache saw it.
    const kept = planned.filter(({ isKept }) => isKept).map(({ objectName }) => byName.get(objectName)!);
    if (!(await heads.forgetChanged(kept, options.signal))) return inQuestion(planned, options);
  }
}

function inQuestion(planned: readonly PlannedDecision[], { rules }: ExpireOptions): readonly PlannedDecision[] {
  return planned.filter(({ lineageKey }) => rules.onlyLineages?.has(lineageKey) ?? true);
}

async function plan(
  { context, listings, observer }: ExpirePlace,
  objects: readonly ManifestObject[],
  options: ExpireOptions,
): Promise<readonly PlannedDecision[]> {
  const { rules, signal } = options;
  // After the manifests were listed: one whose run has ended by now is committed, or withdrawn and cannot be read.
  const runs = await observer.runs(signal);
  const atWork = new Set(runs.filter(({ state }) => state !== "dead").map(({ runId }) => runId));
  const candidates = (await readCandidates(context, listings.heads, objects, signal)).map((one) => {
    return { ...one, isUnfinished: one.summary !== null && atWork.has(one.summary.runId) };
  });
  const byPlace = new Map(candidates.map((one) => [placeOf(one), one]));
  const decisions = planRetention(candidates, rules, context.clock.now().getTime());
  return decisions.map((decision) => {
    const candidate: ListedCandidate = byPlace.get(placeOf(decision))!;
    return { ...decision, summary: candidate.summary, objectName: candidate.object.name, failure: null };
  });
}

function placeOf({ id, lineageKey }: { readonly id: string; readonly lineageKey: string }): string {
  return `${lineageKey}/${id}`;
}

async function remove(
  { context }: ExpirePlace,
  decision: PlannedDecision,
  { beacon, signal }: { readonly beacon: RunBeacon; readonly signal: AbortSignal | undefined },
): Promise<ExpireDecision> {
  beacon.check();
  try {
    const isHeld = (await holdNames(context, decision.id, signal)).length > 0;
    if (isHeld) return { ...decision, isKept: true, reasons: ["held meanwhile"] };
    beacon.check();
    await context.storage.delete(decision.objectName, signal);
    return decision;
  } catch (error) {
    signal?.throwIfAborted();
    beacon.check();
    return { ...decision, failure: messageOf(error) };
  }
}
