// Which restore points a copy is of, and in which order: oldest first, so that each finds its parent there; the restore
// point of a whole server after those of its databases. Pure but for the looks into the repository.

import { OperatingError } from "../../base/errors.ts";
import type { LineageFacts, Repository, RestorePointSummary, TagPattern } from "../../repository/index.ts";
import type { CopySettings } from "./types.ts";

const LISTED_MAX = 20;

/** A restore point of the source. */
export interface Candidate {
  readonly id: string;
  readonly lineageKey: string;
  /** Null when the manifest cannot be read; then why. */
  readonly summary: RestorePointSummary | null;
  readonly problem: OperatingError | null;
}

/** The restore points to be copied, in their order. Throws "restore_point_not_found", "ambiguous_reference". */
export async function selectRestorePoints(
  repository: Repository,
  settings: Pick<CopySettings, "references" | "isAll" | "last" | "tags">,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const lineages = await repository.lineages({ signal, onDamage: () => undefined });
  const candidates = await readCandidates(repository, lineages, signal);
  const byId = new Map(candidates.map((one) => [one.id, one]));
  const chosen = new Map<string, Candidate>();
  const keys = new Set(settings.isAll ? candidates.map(({ lineageKey }) => lineageKey) : []);
  for (const reference of settings.references) {
    const named = lineages.filter(({ label, name }) => name === reference || label === reference);
    for (const { key } of named) keys.add(key);
    if (named.length > 0) continue;
    const id = await resolve(repository, reference, lineages, signal);
    const candidate = byId.get(id);
    if (candidate !== undefined) chosen.set(id, candidate);
  }
  for (const key of keys) {
    const own = candidates.filter(({ lineageKey }) => lineageKey === key);
    for (const candidate of newest(own, settings)) chosen.set(candidate.id, candidate);
  }
  for (const { summary } of chosen.values()) {
    for (const id of memberIds(summary)) if (byId.has(id)) chosen.set(id, byId.get(id)!);
  }
  return inOrder([...chosen.values()]);
}

/** The restore points that one of a whole server names. */
export function memberIds(summary: RestorePointSummary | null): readonly string[] {
  return summary?.cluster?.members.flatMap(({ restorePointId }) => restorePointId ?? []) ?? [];
}

async function readCandidates(
  repository: Repository,
  lineages: readonly LineageFacts[],
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const keys = new Map(lineages.map((lineage) => [identityOf(lineage), lineage.key]));
  const damaged: Candidate[] = [];
  const summaries = await repository.restorePoints({
    signal,
    onDamage: (objectName, problem) => {
      const [id = "", lineageKey = ""] = objectName.split("/").toReversed();
      damaged.push({ id, lineageKey, summary: null, problem });
    },
  });
  const readable = summaries.map((summary): Candidate => {
    return { id: summary.id, lineageKey: keys.get(identityOf(summary.lineage)) ?? "", summary, problem: null };
  });
  return [...readable, ...damaged];
}

function identityOf(lineage: RestorePointSummary["lineage"]): string {
  return JSON.stringify([lineage.name, lineage.systemIdentifier, lineage.databaseOid]);
}

async function resolve(
  repository: Repository,
  reference: string,
  lineages: readonly LineageFacts[],
  signal: AbortSignal,
): Promise<string> {
  try {
    return await repository.resolve(reference, signal);
  } catch (error) {
    if (!(error instanceof OperatingError) || error.code !== "restore_point_not_found") throw error;
    const labels = lineages.slice(0, LISTED_MAX).map(({ label }) => label);
    throw new OperatingError(error.code, `there is no restore point or lineage "${reference}"`, {
      detail: labels.length === 0 ? "The repository has no restore points." : `Its lineages are ${labels.join(", ")}.`,
    });
  }
}

function newest(candidates: readonly Candidate[], { last, tags }: Pick<CopySettings, "last" | "tags">): Candidate[] {
  const tagged = candidates.filter(({ summary }) => {
    // One that cannot be read may have any tag: it is told, not passed over.
    return tags.length === 0 || summary === null || tags.some((tag) => hasTag(summary, tag));
  });
  return tagged.toSorted((one, other) => (one.id < other.id ? 1 : -1)).slice(0, last ?? undefined);
}

function hasTag({ tags }: RestorePointSummary, { key, value }: TagPattern): boolean {
  return Object.hasOwn(tags, key) && (value === null || tags[key] === value);
}

function inOrder(candidates: readonly Candidate[]): readonly Candidate[] {
  const keys = new Map(
    candidates.map(({ id, summary }) => {
      const members = memberIds(summary);
      return [id, `${[id, ...members].toSorted().at(-1)!} ${members.length > 0 ? 1 : 0}`];
    }),
  );
  return candidates.toSorted((one, other) => (keys.get(one.id)! < keys.get(other.id)! ? -1 : 1));
}
