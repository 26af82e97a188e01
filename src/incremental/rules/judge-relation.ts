// Which segments of one relation must be read, and why: the same storage, the same text for the same bytes, and no touched block.
// Holds where judgeRun() allowed comparing. The last segment has no end (whatever lies behind it belongs to it), so its block
// range is another one when the length changed. Source: docs/formats/incremental.md.

import { assert } from "../../base/assert.ts";
import type { RelationShape, RelationVerdict } from "../types.ts";
import { fileKey } from "./touched-blocks.ts";
import type { TouchedBlocks } from "./touched-blocks.ts";

export const TOUCHED = "touched since the parent's base";
export const CUT_OFF = "cut off since the parent's base";
export const FORMER_LAST = "the last segment then or now, and the length changed";
export const GROWN = "past the parent's last block";

/** How many segments a relation of that length has; an empty one has one too. */
export function segmentCountOf(blockCount: number, segmentBlockCount: number): number {
  return Math.max(1, Math.ceil(blockCount / segmentBlockCount));
}

/**
 * Judges one relation: `parent` as the parent recorded it, `now` as it is after the locks were taken, with the block count
 * that its segments were planned by. Segments that the verdict does not name may be taken over.
 */
export function judgeRelation(
  parent: RelationShape,
  now: RelationShape,
  touched: TouchedBlocks,
  segmentBlockCount: number,
): RelationVerdict {
  assert(Number.isSafeInteger(segmentBlockCount) && segmentBlockCount > 0, "a segment has blocks");
  const reason = storageDifference(parent, now) ?? textDoubt(parent, now) ?? fileBreak(now, touched);
  if (reason !== null) return { kind: "read-all", reason };
  const readSegments = new Map<number, string>();
  addGrowth(readSegments, parent.blockCount, now.blockCount, segmentBlockCount);
  addTouched(readSegments, now, touched, segmentBlockCount);
  return { kind: "take-over", readSegments };
}

/** Why the blocks may not be the parent's blocks; null: they are. */
function storageDifference(then: RelationShape, now: RelationShape): string | null {
  if (then.oid !== now.oid) return `another relation: OID ${then.oid} then, ${now.oid} now`;
  if (now.accessMethod !== "heap" || then.accessMethod !== "heap") return "it is not a heap table";
  if (now.persistence !== "p") return "changes of it are not in the WAL";
  if (then.persistence !== "p") return "changes of it were not in the WAL when the parent was made";
  if (then.tablespaceOid !== now.tablespaceOid) return "it is in another tablespace";
  if (then.filenode !== now.filenode) return "it was rewritten (another file)";
  return null;
}

/** Why the same blocks may give another text; null: they give the same. */
function textDoubt(then: RelationShape, now: RelationShape): string | null {
  if (now.alwaysReadBecause !== null) return now.alwaysReadBecause;
  if (then.alwaysReadBecause !== null) return `when the parent was made: ${then.alwaysReadBecause}`;
  if (then.columnFingerprint !== now.columnFingerprint) return "its columns changed";
  if (then.typeFingerprint !== now.typeFingerprint) return "a type of its columns changed";
  if (!then.isStable) return "it changed its definition while the parent read it";
  if (!now.isStable) return "it changes its definition while it is read";
  return null;
}

/** Why all of the file counts as touched; null: only what is named does. */
function fileBreak(now: RelationShape, { movedTablespaces, files }: TouchedBlocks): string | null {
  if (movedTablespaces.has(now.tablespaceOid)) return "the database was made, or moved between tablespaces";
  const isEmptied = files.get(fileKey(now))?.some(({ limitBlock }) => limitBlock === 0) ?? false;
  return isEmptied ? "its file was made or emptied since the parent's base" : null;
}

function addGrowth(reasons: Map<number, string>, then: number, now: number, segmentBlockCount: number): void {
  if (then === now) return;
  const [countThen, countNow] = [segmentCountOf(then, segmentBlockCount), segmentCountOf(now, segmentBlockCount)];
  reasons.set(Math.min(countThen, countNow) - 1, FORMER_LAST);
  for (let index = countThen; index < countNow; index += 1) reasons.set(index, GROWN);
}

function addTouched(
  reasons: Map<number, string>,
  now: RelationShape,
  { files }: TouchedBlocks,
  segmentBlockCount: number,
): void {
  const last = segmentCountOf(now.blockCount, segmentBlockCount) - 1;
  for (const { limitBlock, segmentIndexes } of files.get(fileKey(now)) ?? []) {
    // What is named behind the last segment is in it: it has no end.
    for (const index of segmentIndexes) reasons.set(Math.min(index, last), TOUCHED);
    if (limitBlock === null) continue;
    const from = Math.min(Math.floor(limitBlock / segmentBlockCount), last);
    for (let index = from; index <= last; index += 1) if (!reasons.has(index)) reasons.set(index, CUT_OFF);
  }
}
