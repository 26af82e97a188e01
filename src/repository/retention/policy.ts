// Which restore points stay: a pure function of what there is, the rules, and the time. Each decision has its reasons.
//
// Tiers are restic's: walking from the newest to the oldest, the newest of each calendar period stays until the count is
// used up; when counts are left at the end, the oldest stays too. The order is that of the ids, which no clock can turn
// round; a period is that of the snapshot's own time. Whatever the rules say, never removed are: what is held, what
// cannot be read, what a run at work is about to finish, the newest undamaged ones of each lineage, its last verified and its last drilled one, and what a kept
// cluster restore point names.

import { Calendar } from "./calendar.ts";
import type { Period, Span } from "./calendar.ts";

/** A restore point as the policy sees it. */
export interface RetentionCandidate {
  readonly id: string;
  readonly lineageKey: string;
  /** The time in the id, milliseconds: the snapshot's, or later when the clock had gone back. */
  readonly idTimeMs: number;
  readonly snapshotTimeMs: number;
  readonly tags: Readonly<Record<string, string>>;
  /** False when its manifest cannot be read: nothing is known of it. */
  readonly isReadable: boolean;
  /** True while its run is at work: it may yet be withdrawn, so it stays and counts for nothing. */
  readonly isUnfinished?: boolean;
  /** True when the last verify or check found damage, or the last drill failed. */
  readonly isDamaged: boolean;
  readonly isVerified: boolean;
  readonly isDrilled: boolean;
  /** Why it is held; empty: it is not. */
  readonly holds: readonly string[];
  /** Ids of the restore points that a cluster restore point names; else empty. */
  readonly members: readonly string[];
}

/** A tag, with any value or with this one. */
export interface TagPattern {
  readonly key: string;
  readonly value: string | null;
}

/** How many to keep of what; Infinity keeps all. */
export interface RetentionRules {
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
  /** Everything younger than this, counted back from the lineage's newest, or from now when that is earlier. */
  readonly within: Span | null;
  readonly keepTags: readonly TagPattern[];
  /** So many of the newest undamaged ones of each lineage stay in any case; at least 1. */
  readonly minimum: number;
  /** Only restore points with all of these tags are considered; the others stay. */
  readonly onlyTags: readonly TagPattern[];
  /** Only these lineages are considered, all others stay; null: all are. */
  readonly onlyLineages: ReadonlySet<string> | null;
  readonly timeZone: string;
}

/** What becomes of a restore point, and why. */
export interface RetentionDecision {
  readonly id: string;
  readonly lineageKey: string;
  readonly isKept: boolean;
  /** Why it stays, or why no rule keeps it; at least one. */
  readonly reasons: readonly string[];
}

interface Verdict {
  readonly isKept: boolean;
  readonly reason: string;
}

type Rule = (newestFirst: readonly RetentionCandidate[]) => ReadonlyMap<string, Verdict>;

const TIERS = [
  ["hourly", "hour"],
  ["daily", "day"],
  ["weekly", "week"],
  ["monthly", "month"],
  ["yearly", "year"],
] as const satisfies readonly (readonly [keyof RetentionRules, Period])[];

/** True when the rules keep anything by themselves; without one, nearly everything would go. */
export function hasKeepRule(rules: RetentionRules): boolean {
  const counts = [rules.last, ...TIERS.map(([name]) => rules[name])];
  return counts.some((count) => count > 0) || rules.within !== null || rules.keepTags.length > 0;
}

/** Decides on every candidate; newest first within a lineage, lineages in the order of their keys. */
export function planRetention(
  candidates: readonly RetentionCandidate[],
  rules: RetentionRules,
  nowMs: number,
): readonly RetentionDecision[] {
  const lineages = Map.groupBy(candidates, ({ lineageKey }) => lineageKey);
  const keys = [...lineages.keys()].toSorted();
  const decisions = keys.flatMap((key) => planLineage(lineages.get(key)!, rules, nowMs));
  return withMembers(decisions, candidates);
}

/** What a kept cluster restore point names stays too: without it, the cluster could not be restored. */
function withMembers(
  decisions: readonly RetentionDecision[],
  candidates: readonly RetentionCandidate[],
): readonly RetentionDecision[] {
  const kept = new Set(decisions.filter(({ isKept }) => isKept).map(({ id, lineageKey }) => `${lineageKey}/${id}`));
  const clusterOf = new Map<string, string>();
  for (const { id, lineageKey, members } of candidates.toSorted((one, other) => (one.id < other.id ? -1 : 1))) {
    if (kept.has(`${lineageKey}/${id}`)) for (const member of members) clusterOf.set(member, id);
  }
  return decisions.map((decision) => {
    const cluster = clusterOf.get(decision.id);
    if (cluster === undefined) return decision;
    const reason = `the cluster restore point ${cluster} names it`;
    return { ...decision, isKept: true, reasons: decision.isKept ? [...decision.reasons, reason] : [reason] };
  });
}

/** True when the candidate has that tag. */
function hasTag({ tags }: RetentionCandidate, { key, value }: TagPattern): boolean {
  return Object.hasOwn(tags, key) && (value === null || tags[key] === value);
}

function isConsidered(candidate: RetentionCandidate, { onlyLineages, onlyTags }: RetentionRules): boolean {
  const isInLineage = onlyLineages === null || onlyLineages.has(candidate.lineageKey);
  return isInLineage && onlyTags.every((tag) => hasTag(candidate, tag));
}

function planLineage(
  candidates: readonly RetentionCandidate[],
  rules: RetentionRules,
  nowMs: number,
): RetentionDecision[] {
  const newestFirst = candidates.toSorted((one, other) => (one.id < other.id ? 1 : -1));
  const protections = protectionsOf(newestFirst, rules);
  const considered = newestFirst.filter((one) => one.isReadable && !one.isUnfinished && isConsidered(one, rules));
  const undamaged = considered.filter((one) => !one.isDamaged);
  // A damaged one stays where the rules would keep it, and takes no undamaged one's place.
  const lists = undamaged.length === considered.length ? [considered] : [considered, undamaged];
  const verdicts = rulesInForce(rules, nowMs).flatMap((rule) => lists.map((list) => rule(list)));
  return newestFirst.map((candidate) => {
    const { id, lineageKey } = candidate;
    const given = verdicts.flatMap((verdict) => verdict.get(id) ?? []);
    const kept = [...given.filter(({ isKept }) => isKept).map(({ reason }) => reason), ...protections.get(id)!];
    const reasons = kept.length > 0 ? kept : given.map(({ reason }) => reason);
    return { id, lineageKey, isKept: kept.length > 0, reasons: [...new Set(reasons)] };
  });
}

/** Why each stays whatever the rules say; empty where nothing protects it. */
function protectionsOf(
  newestFirst: readonly RetentionCandidate[],
  rules: RetentionRules,
): ReadonlyMap<string, readonly string[]> {
  const readable = newestFirst.filter((one) => one.isReadable && !one.isUnfinished);
  const undamaged = readable.filter((one) => !one.isDamaged);
  // Where nothing is undamaged, the newest of what there is.
  const good = undamaged.length > 0 ? undamaged : readable;
  const minimum = Math.max(1, rules.minimum);
  const newestGood = new Set(good.slice(0, minimum));
  const lastVerified = good.find((one) => one.isVerified);
  const lastDrilled = good.find((one) => one.isDrilled);
  return new Map(
    newestFirst.map((one) => {
      const reasons = one.holds.map((reason) => (reason === "" ? "held" : `held: ${reason}`));
      if (!one.isReadable) reasons.push("its manifest cannot be read, so nothing is known of it");
      else if (one.isUnfinished) reasons.push("its backup has not ended yet");
      else if (!isConsidered(one, rules)) reasons.push("it is not among those that were asked for");
      if (one === good[0]) reasons.push("the last good one of its lineage");
      else if (newestGood.has(one)) reasons.push(`one of the ${minimum} newest good ones of its lineage`);
      if (one === lastVerified) reasons.push("the last verified one of its lineage");
      if (one === lastDrilled) reasons.push("the last drilled one of its lineage");
      return [one.id, reasons];
    }),
  );
}

function rulesInForce(rules: RetentionRules, nowMs: number): Rule[] {
  const calendar = new Calendar(rules.timeZone);
  const inForce: Rule[] = [];
  if (rules.last > 0) inForce.push((points) => keepLast(points, rules.last));
  for (const [name, period] of TIERS) {
    const count = rules[name];
    const periodOf = ({ snapshotTimeMs }: RetentionCandidate): string => calendar.periodOf(snapshotTimeMs, period);
    if (count > 0) inForce.push((points) => keepTier(points, { name, period, count, periodOf }));
  }
  const { keepTags, within } = rules;
  if (within !== null) inForce.push((points) => keepWithin(points, calendar, within, nowMs));
  if (keepTags.length > 0) inForce.push((points) => keepTagged(points, keepTags));
  return inForce;
}

function keepLast(newestFirst: readonly RetentionCandidate[], count: number): ReadonlyMap<string, Verdict> {
  const among = count === Infinity ? "all are kept" : `one of the last ${count}`;
  return new Map(
    newestFirst.map(({ id }, index) => {
      const isKept = index < count;
      return [id, { isKept, reason: isKept ? among : `not one of the last ${count}` }];
    }),
  );
}

interface Tier {
  readonly name: string;
  readonly period: Period;
  readonly count: number;
  readonly periodOf: (candidate: RetentionCandidate) => string;
}

function keepTier(newestFirst: readonly RetentionCandidate[], tier: Tier): ReadonlyMap<string, Verdict> {
  const { name, period } = tier;
  const verdicts = new Map<string, Verdict>();
  const seen = new Set<string>();
  let left = tier.count;
  for (const [index, candidate] of newestFirst.entries()) {
    const where = tier.periodOf(candidate);
    const isNew = !seen.has(where);
    const isOldest = index === newestFirst.length - 1;
    const isKept = left > 0 && (isNew || isOldest);
    const reason =
      isKept ? (isNew ? `${name}: the newest of ${where}` : `${name}: the oldest of all`)
      : isNew ? `${name}: its ${period} ${where} is not one of the last ${tier.count}`
      : `${name}: a newer one of ${where} counts`; // prettier-ignore
    verdicts.set(candidate.id, { isKept, reason });
    if (isKept) left -= 1;
    seen.add(where);
  }
  return verdicts;
}

function keepWithin(
  newestFirst: readonly RetentionCandidate[],
  calendar: Calendar,
  span: Span,
  nowMs: number,
): ReadonlyMap<string, Verdict> {
  const newest = newestFirst[0];
  if (newest === undefined) return new Map();
  const since = calendar.earlier(Math.min(nowMs, newest.idTimeMs), span);
  const moment = `${new Date(since).toISOString().slice(0, 19)}Z`;
  return new Map(
    newestFirst.map(({ id, idTimeMs }) => {
      const isKept = idTimeMs >= since;
      return [id, { isKept, reason: isKept ? `within: not older than ${moment}` : `within: older than ${moment}` }];
    }),
  );
}

function keepTagged(
  newestFirst: readonly RetentionCandidate[],
  keepTags: readonly TagPattern[],
): ReadonlyMap<string, Verdict> {
  return new Map(
    newestFirst.map((candidate) => {
      const found = keepTags.find((tag) => hasTag(candidate, tag));
      const reason = found === undefined ? "it has none of the tags to keep" : `it has the tag ${tagText(found)}`;
      return [candidate.id, { isKept: found !== undefined, reason }];
    }),
  );
}

function tagText({ key, value }: TagPattern): string {
  return value === null ? key : `${key}=${value}`;
}
