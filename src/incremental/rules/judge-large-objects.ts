// Whether large objects must be read. Their data is the rows of pg_largeobject, an ordinary heap that is read in the run's
// snapshot: where no block of it changed, each object has the bytes that it had. Which objects there are, and in which order,
// is not judged here: that is pg_dump's, of now. Holds where judgeRun() allowed comparing. Source: docs/formats/incremental.md.

import type { LargeObjectVerdict, RelationShape } from "../types.ts";
import { judgeRelation } from "./judge-relation.ts";
import type { TouchedBlocks } from "./touched-blocks.ts";

/** Judges pg_largeobject as a whole: `parent` and `now` are null where it was not known how it is stored. */
export function judgeLargeObjects(
  parent: RelationShape | null,
  now: RelationShape | null,
  touched: TouchedBlocks,
  segmentBlockCount: number,
): LargeObjectVerdict {
  if (parent === null) return readAll("the parent did not record how pg_largeobject was stored");
  if (now === null) return readAll("how pg_largeobject is stored could not be found out");
  const verdict = judgeRelation(parent, now, touched, segmentBlockCount);
  if (verdict.kind === "read-all") return readAll(`pg_largeobject: ${verdict.reason}`);
  const [reason] = verdict.readSegments.values();
  return reason === undefined ? { kind: "take-over" } : readAll(`pg_largeobject: ${reason}`);
}

function readAll(reason: string): LargeObjectVerdict {
  return { kind: "read-all", reason };
}
