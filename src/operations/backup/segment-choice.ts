// What becomes of each segment of a backup: read, taken over from the parent without being read, or read although it
// could have been taken over, and compared.

import type { TablePlan } from "../../dump/index.ts";

export type SegmentChoice = "read" | "take over" | "compare";

/** Says what becomes of a segment; asked in plan order. */
export type ChooseSegment = (table: TablePlan, segmentIndex: number) => SegmentChoice;

/** Says what becomes of the large objects, all of them alike. */
export type ChooseLargeObjects = () => SegmentChoice;

/** A segment, as block range of its relation. */
export interface SegmentPlace {
  readonly table: TablePlan;
  readonly segmentIndex: number;
}

/** What became of large objects, in objects. */
export interface LargeObjectCounts {
  readCount: number;
  takenOverCount: number;
  /** Read although they could have been taken over, as the parent does not have just these, or not in a form that is of use. */
  notReusableCount: number;
  /** Read although they could have been taken over, and compared. */
  comparedCount: number;
}

/** Large objects whose OIDs lie between these two. */
export interface LargeObjectRange {
  readonly firstOid: number;
  readonly lastOid: number;
}

/** What became of the segments. */
export interface SegmentCounts {
  readCount: number;
  takenOverCount: number;
  /** Plain text of what was taken over, with large objects. */
  takenOverRawBytes: number;
  /** Read because what the parent has of them is missing, damaged or about to be pruned. */
  notReusableCount: number;
  /** Read although they could have been taken over. */
  comparedCount: number;
}
