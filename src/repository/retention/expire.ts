// Expire: removes the manifests of restore points that no rule keeps, and nothing else; packs are prune's. What cannot be
// removed is reported, and the rest goes on. A hold that comes while it is at work is seen (see hold()).

import { messageOf } from "../../base/errors.ts";
import type { RepositoryContext } from "../context.ts";
import { makeId } from "../identifiers.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { RunBeacon } from "../run-record.ts";
import { readCandidates } from "./candidates.ts";
import type { ListedCandidate } from "./candidates.ts";
import { holdNames } from "./holds.ts";
import { EXPIRE_KIND } from "./kinds.ts";
import { planRetention } from "./policy.ts";
import type { RetentionRules } from "./policy.ts";

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
export async function expire(
  context: RepositoryContext,
  listManifests: () => Promise<readonly ManifestObject[]>,
  options: ExpireOptions,
): Promise<readonly ExpireDecision[]> {
  if (options.isDryRun) return await decide(context, await listManifests(), options);
  const runId = makeId(context.clock.now(), context.random);
  const beacon = await RunBeacon.start(context, { runId, kind: EXPIRE_KIND, lineageName: null });
  try {
    const decisions = await decide(context, await listManifests(), options);
    const outcomes: ExpireDecision[] = [];
    for (const decision of decisions) {
      options.signal?.throwIfAborted();
      beacon.check();
      outcomes.push(decision.isKept ? decision : await remove(context, decision, options.signal));
    }
    return outcomes;
  } finally {
    await beacon.end().catch(() => undefined);
  }
}

interface PlannedDecision extends ExpireDecision {
  readonly objectName: string;
}

async function decide(
  context: RepositoryContext,
  objects: readonly ManifestObject[],
  options: ExpireOptions,
): Promise<readonly PlannedDecision[]> {
  const { rules, signal } = options;
  const candidates = await readCandidates(context, objects, signal);
  const byPlace = new Map(candidates.map((one) => [placeOf(one), one]));
  const decisions = planRetention(candidates, rules, context.clock.now().getTime());
  const wanted = decisions.filter(({ lineageKey }) => rules.onlyLineages?.has(lineageKey) ?? true);
  return wanted.map((decision) => {
    const candidate: ListedCandidate = byPlace.get(placeOf(decision))!;
    return { ...decision, summary: candidate.summary, objectName: candidate.object.name, failure: null };
  });
}

function placeOf({ id, lineageKey }: { readonly id: string; readonly lineageKey: string }): string {
  return `${lineageKey}/${id}`;
}

async function remove(
  context: RepositoryContext,
  decision: PlannedDecision,
  signal: AbortSignal | undefined,
): Promise<ExpireDecision> {
  try {
    const isHeld = (await holdNames(context, decision.id, signal)).length > 0;
    if (isHeld) return { ...decision, isKept: true, reasons: ["held meanwhile"] };
    await context.storage.delete(decision.objectName, signal);
    return decision;
  } catch (error) {
    signal?.throwIfAborted();
    return { ...decision, failure: messageOf(error) };
  }
}
