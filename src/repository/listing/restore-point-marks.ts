// What listings say of restore points besides their manifests: by the names of their marks, and the last mark of each
// kind opened once, so that nobody without a key can call a restore point verified.

import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { readDrillMark } from "../drill-marks.ts";
import type { DrillOutcome } from "../drill-marks.ts";
import { isId, MARKS_PREFIX } from "../identifiers.ts";
import { isOfEarlierCopy, readVerifyMark } from "../marks.ts";
import { isHoldName } from "../retention/holds.ts";
import type { StoredObject } from "../../storage/index.ts";
import type { ListingCache } from "./listing-cache.ts";
import { HEADS_AHEAD } from "./manifest-heads.ts";

/** Above it, one listing of all marks is less than one for each restore point. */
const LISTED_ONE_BY_ONE_MAX = 4;
const MARK_PATTERN = /^(verify|damage|drill|drill-partial|drill-failed)-(\d.*)$/;
const DRILL_OUTCOMES: Readonly<Record<string, DrillOutcome>> = {
  drill: "passed",
  "drill-partial": "partial",
  "drill-failed": "failed",
};

/** See the head of this file. */
export interface RestorePointMarks {
  /** The last verify; `isWhole` false: it found damage. `at`: ISO 8601. */
  readonly lastVerify: { readonly at: string; readonly isWhole: boolean } | null;
  readonly lastDrill: { readonly at: string; readonly outcome: DrillOutcome } | null;
  readonly isHeld: boolean;
}

/** Whose marks are wanted. */
export interface WantedMarks {
  readonly ids: readonly string[];
  /** When a restore point was copied here, ISO 8601; null: it was not. Asked for those that have marks. */
  readonly copiedAt: (id: string) => Promise<string | null>;
}

interface Found {
  /** Of each kind. */
  readonly newest: Map<string, FoundMark>;
  isHeld: boolean;
}

interface FoundMark {
  readonly object: StoredObject;
  readonly kind: string;
  readonly id: string;
}

/** Of those restore points, those that have any. Throws OperatingError "corrupt" for a mark that cannot be read. */
export async function readRestorePointMarks(
  context: RepositoryContext,
  cache: ListingCache,
  wanted: WantedMarks,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, RestorePointMarks>> {
  const found = await findMarks(context, wanted.ids, signal);
  const marks = new Map<string, RestorePointMarks>();
  const reads = mapAhead(found, HEADS_AHEAD, async ([id, { isHeld, newest }]) => {
    const copiedAt = newest.size === 0 ? null : await wanted.copiedAt(id);
    const counting = [...newest.values()].filter((mark) => !isOfEarlierCopy(mark.kind, mark.id, copiedAt));
    const [verify, drill] = [last(counting, false), last(counting, true)];
    const verifiedAt = verify && (await timeOf(context, cache, { id, mark: verify, signal }));
    const drilledAt = drill && (await timeOf(context, cache, { id, mark: drill, signal }));
    marks.set(id, {
      lastVerify: verifiedAt === null ? null : { at: verifiedAt, isWhole: verify?.kind === "verify" },
      lastDrill: drilledAt === null ? null : { at: drilledAt, outcome: DRILL_OUTCOMES[drill!.kind]! },
      isHeld,
    });
  });
  for await (const _ of reads);
  return marks;
}

async function findMarks(
  context: RepositoryContext,
  ids: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Found>> {
  const wanted = new Set(ids);
  const found = new Map<string, Found>();
  const prefixes = ids.length > LISTED_ONE_BY_ONE_MAX ? [""] : ids.map((id) => `${id}/`);
  for (const prefix of prefixes) {
    for await (const object of context.storage.list(MARKS_PREFIX + prefix, signal)) {
      const [id = "", fileName = ""] = object.name.slice(MARKS_PREFIX.length).split("/");
      if (!wanted.has(id)) continue;
      const one = found.get(id) ?? { newest: new Map<string, FoundMark>(), isHeld: false };
      found.set(id, one);
      note(one, object, fileName);
    }
  }
  return found;
}

function note(found: Found, object: StoredObject, fileName: string): void {
  if (isHoldName(fileName)) found.isHeld = true;
  const [, kind = "", id = ""] = MARK_PATTERN.exec(fileName) ?? [];
  if (!isId(id)) return;
  if (id > (found.newest.get(kind)?.id ?? "")) found.newest.set(kind, { object, kind, id });
}

/** The last mark of drills, or of verifies. */
function last(marks: readonly FoundMark[], isDrill: boolean): FoundMark | null {
  const ofKind = marks.filter(({ kind }) => kind in DRILL_OUTCOMES === isDrill);
  return ofKind.toSorted((one, other) => (one.id < other.id ? -1 : 1)).at(-1) ?? null;
}

/** Null when the mark is gone by now. */
async function timeOf(
  context: RepositoryContext,
  cache: ListingCache,
  { id, mark, signal }: { readonly id: string; readonly mark: FoundMark; readonly signal: AbortSignal | undefined },
): Promise<string | null> {
  const { kind, object } = mark;
  const known = cache.mark(object);
  if (known !== null) return known.at;
  const read = kind in DRILL_OUTCOMES ? readDrillMark : readVerifyMark;
  const at = (await read(context, object.name, id, signal))?.at ?? null;
  if (at !== null) cache.addMark(object, { at });
  return at;
}
