// Marks of drills: what came out when a restore point was restored and compared. Source: docs/formats/repository.md §8.
// The outcome stands in the name, so that nobody has to open a mark to know whether a restore point was drilled.

import { readListed } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { isId, MARKS_PREFIX } from "./identifiers.ts";
import { makeMarkId } from "./marks.ts";
import { corrupt } from "./sealing.ts";
import { openObject, sealObject } from "./sealed-object.ts";

/** Differences that a mark names; the evidence names all. */
const DIFFERENCES_MAX = 100;

/** What became of a drill: "partial" found no difference, but something could not be compared. */
export type DrillOutcome = "passed" | "partial" | "failed";

/** What a drill found, as it is kept. */
export interface DrillMark {
  readonly restorePointId: string;
  readonly at: string;
  readonly outcome: DrillOutcome;
  /** The server that it was restored into, e.g. "18.6". */
  readonly serverVersion: string;
  /** From the begin of the restore until everything was there. */
  readonly restoreDurationMs: number;
  readonly differenceCount: number;
  /** The first of them, one sentence each; never row data. */
  readonly differences: readonly string[];
  /** What was not compared, and why. */
  readonly notCompared: readonly string[];
}

const KINDS = { passed: "drill", partial: "drill-partial", failed: "drill-failed" } as const satisfies Record<
  DrillOutcome,
  string
>;
const FILE_NAME = /^(drill|drill-partial|drill-failed)-(\d.*)$/;

/** Writes the mark of a drill. */
export async function writeDrillMark(context: RepositoryContext, mark: Omit<DrillMark, "at">): Promise<void> {
  const now = context.clock.now();
  const id = await makeMarkId(context, mark.restorePointId);
  const name = `${MARKS_PREFIX}${mark.restorePointId}/${KINDS[mark.outcome]}-${id}`;
  const bounded = { ...mark, at: now.toISOString(), differences: mark.differences.slice(0, DIFFERENCES_MAX) };
  const bytes = Buffer.from(JSON.stringify(bounded));
  const object = await sealObject(context, name, [{ kind: "mark", encoding: "zstd", bytes }]);
  await context.storage.put(name, object, { ifAbsent: true });
}

/** The marks of drills of a restore point, oldest first. Throws "corrupt" when one cannot be read. */
export async function readDrillMarks(
  context: RepositoryContext,
  restorePointId: string,
  signal?: AbortSignal,
): Promise<readonly DrillMark[]> {
  const marks: { readonly id: string; readonly mark: DrillMark }[] = [];
  for await (const { name } of context.storage.list(`${MARKS_PREFIX}${restorePointId}/`, signal)) {
    const match = FILE_NAME.exec(name.split("/").at(-1) ?? "");
    if (match === null || !isId(match[2]!)) continue;
    const mark = await readDrillMark(context, name, restorePointId, signal);
    if (mark !== null) marks.push({ id: match[2]!, mark });
  }
  return marks.toSorted((one, other) => (one.id < other.id ? -1 : 1)).map(({ mark }) => mark);
}

/** The mark of a drill with that object name; null when it is gone. Throws "corrupt". */
export async function readDrillMark(
  context: RepositoryContext,
  name: string,
  restorePointId: string,
  signal?: AbortSignal,
): Promise<DrillMark | null> {
  const bytes = await readListed(context, name, signal);
  if (bytes === null) return null;
  const object = openObject(context.keyring, name, bytes);
  const item = object.items[0];
  if (item?.kind !== "mark") throw corrupt(name, "it is no mark");
  const mark = parseMark(await object.load(item));
  const kind = FILE_NAME.exec(name.split("/").at(-1) ?? "")?.[1];
  const isRight = mark !== null && mark.restorePointId === restorePointId && KINDS[mark.outcome] === kind;
  if (!isRight) throw corrupt(name, "it is no mark of a drill of that restore point");
  return mark;
}

function parseMark(bytes: Uint8Array): DrillMark | null {
  try {
    const mark = JSON.parse(Buffer.from(bytes).toString("utf8")) as DrillMark | null;
    const isMark = typeof mark?.at === "string" && mark.outcome in KINDS && Array.isArray(mark.differences);
    return isMark ? mark : null;
  } catch {
    return null;
  }
}
