// What the retention policy is told of each restore point: a manifest's summary, and what its marks say by their names.
// Reads a few KiB of each manifest that no listing cache knows, never a pack. Memory: one summary's facts for each restore point.

import { isOperatingError } from "../../base/errors.ts";
import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { isId, MARKS_PREFIX, timeOfId } from "../identifiers.ts";
import { HEADS_AHEAD } from "../listing/manifest-heads.ts";
import type { ManifestHeads } from "../listing/manifest-heads.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { isOfEarlierCopy } from "../marks.ts";
import { isDamage } from "../restore-point.ts";
import { isHoldName, readHoldReason } from "./holds.ts";
import type { RetentionCandidate } from "./policy.ts";

/** Of the time in an id. */
const SECOND_DIGITS = 16;
const MARK_PATTERN = /^(verify|damage|drill|drill-partial|drill-failed)-(\d.*)$/;

/** A candidate with what people want to see of it. */
export interface ListedCandidate extends RetentionCandidate {
  readonly object: ManifestObject;
  /** Null when the manifest cannot be read. */
  readonly summary: RestorePointSummary | null;
}

interface MarksOfOne {
  /** Ids of the newest mark of each kind. */
  readonly newest: Map<string, string>;
  readonly holdNames: string[];
}

/** The candidates among these manifests. Marks are listed after them. */
export async function readCandidates(
  context: RepositoryContext,
  heads: ManifestHeads,
  objects: readonly ManifestObject[],
  signal?: AbortSignal,
): Promise<readonly ListedCandidate[]> {
  const marks = await readMarks(context, signal);
  await heads.prepare(objects.length);
  const candidates: ListedCandidate[] = [];
  const reads = mapAhead(objects, HEADS_AHEAD, async (object) => {
    const holdReasons: string[] = [];
    for (const name of marks.get(object.id)?.holdNames ?? []) {
      holdReasons.push(await readHoldReason(context, name, signal));
    }
    const read = await readSummaryOf(heads, object, signal);
    return read === null ? null : candidateOf(object, read.summary, marks.get(object.id), holdReasons);
  });
  for await (const candidate of reads) if (candidate !== null) candidates.push(candidate);
  return candidates;
}

function candidateOf(
  object: ManifestObject,
  summary: RestorePointSummary | null,
  marks: MarksOfOne | undefined,
  holds: readonly string[],
): ListedCandidate {
  const idTimeMs = timeOfId(object.id).getTime();
  // To the second; of two marks in the same second the worse one counts.
  const newest = (kind: string): string => {
    const id = marks?.newest.get(kind);
    return id === undefined || isOfEarlierCopy(kind, id, summary?.copiedFrom?.at) ? "" : id.slice(0, SECOND_DIGITS);
  };
  const [verified, damaged, drillFailed] = [newest("verify"), newest("damage"), newest("drill-failed")];
  const drilled = [newest("drill"), newest("drill-partial")].toSorted().at(-1)!;
  const snapshotTimeMs = Date.parse(summary?.snapshotAt ?? "");
  return {
    id: object.id,
    lineageKey: object.lineageKey,
    object,
    summary,
    idTimeMs,
    snapshotTimeMs: Number.isNaN(snapshotTimeMs) ? idTimeMs : snapshotTimeMs,
    tags: summary?.tags ?? {},
    isReadable: summary !== null,
    isDamaged: (damaged !== "" && damaged >= verified) || (drillFailed !== "" && drillFailed >= drilled),
    isVerified: verified > damaged,
    isDrilled: drilled > drillFailed,
    holds,
    members: summary?.cluster?.members.flatMap(({ restorePointId }) => restorePointId ?? []) ?? [],
  };
}

/** Its summary, null in it when it cannot be read; null when it was removed since it was listed. */
async function readSummaryOf(
  heads: ManifestHeads,
  object: ManifestObject,
  signal: AbortSignal | undefined,
): Promise<{ readonly summary: RestorePointSummary | null } | null> {
  try {
    return { summary: await heads.summary(object, signal) };
  } catch (error) {
    if (isOperatingError(error, "not_found")) return null;
    if (isDamage(error)) return { summary: null };
    throw error;
  }
}

async function readMarks(
  context: RepositoryContext,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, MarksOfOne>> {
  const marks = new Map<string, MarksOfOne>();
  for await (const { name } of context.storage.list(MARKS_PREFIX, signal)) {
    const [restorePointId = "", fileName = ""] = name.slice(MARKS_PREFIX.length).split("/");
    const [, kind = "", id = ""] = MARK_PATTERN.exec(fileName) ?? [];
    const isHold = isHoldName(fileName);
    if (!isHold && !isId(id)) continue;
    const found = marks.get(restorePointId) ?? { newest: new Map<string, string>(), holdNames: [] };
    marks.set(restorePointId, found);
    if (isHold) found.holdNames.push(name);
    else if (id > (found.newest.get(kind) ?? "")) found.newest.set(kind, id);
  }
  return marks;
}
