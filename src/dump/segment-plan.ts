// Cuts tables into segments, fixed ranges of heap blocks, and gives the statement that reads each (pure).
// A relation that cannot be read by block range is one segment, read with pg_dump's own statement.

import { assert } from "../base/assert.ts";
import { copyRangeStatement, parseCopyStatement } from "./copy-statement.ts";

/** Blocks of 8 KiB in one segment: 4 MiB of heap. The manifest records it; a parent with another size is not reused. */
export const SEGMENT_BLOCK_COUNT = 512;

/** First server that reads a range of ctid without scanning the whole table. */
const TID_RANGE_SCAN_MAJOR_MIN = 14;

/** What the catalog says of a relation whose rows are in the archive. */
export interface RelationFacts {
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  /** pg_class.relkind */
  readonly kind: string;
  /** pg_class.relpersistence */
  readonly persistence: string;
  readonly accessMethod: string | null;
  readonly tablespaceOid: number;
  readonly filenode: number;
  /** Blocks of the main fork now; never fewer than the snapshot sees. */
  readonly blockCount: number;
}

/** A TABLE DATA entry to be read. */
export interface TableToRead {
  readonly dumpId: number;
  readonly relation: RelationFacts;
  /** pg_dump's `COPY … TO stdout;`, one byte a character. */
  readonly copyStatement: string;
}

export interface Segment {
  readonly firstBlock: number;
  /** Null: to the end of the table. */
  readonly blockCount: number | null;
  readonly statement: string;
}

export interface TablePlan extends TableToRead {
  /** The relation's name as pg_dump quoted it, for LOCK TABLE; null when its statement does not name one plainly. */
  readonly quotedName: string | null;
  readonly segmentBlockCount: number;
  readonly segments: readonly Segment[];
}

/** The segments of one table, in the order of the heap; the last one is open-ended. */
export function planTable(table: TableToRead, serverMajor: number, segmentBlockCount = SEGMENT_BLOCK_COUNT): TablePlan {
  assert(segmentBlockCount > 0, "a segment has blocks");
  const parts = parseCopyStatement(table.copyStatement);
  const { relation } = table;
  const byRange =
    parts !== null &&
    serverMajor >= TID_RANGE_SCAN_MAJOR_MIN &&
    relation.kind === "r" &&
    relation.accessMethod === "heap" &&
    relation.blockCount > segmentBlockCount;
  const plan = { ...table, quotedName: parts?.name ?? null, segmentBlockCount };
  if (!byRange) return { ...plan, segments: [{ firstBlock: 0, blockCount: null, statement: table.copyStatement }] };
  const segments: Segment[] = [];
  for (let firstBlock = 0; firstBlock < relation.blockCount; firstBlock += segmentBlockCount) {
    const isLast = firstBlock + segmentBlockCount >= relation.blockCount;
    const endBlock = isLast ? null : firstBlock + segmentBlockCount;
    const statement = copyRangeStatement(parts, { firstBlock, endBlock });
    segments.push({ firstBlock, blockCount: isLast ? null : segmentBlockCount, statement });
  }
  return { ...plan, segments };
}

/** Tables in the order of reading: the biggest first, so that no reader is left alone with it at the end. */
export function biggestFirst(plans: readonly TablePlan[]): TablePlan[] {
  return plans.toSorted((a, b) => b.relation.blockCount - a.relation.blockCount || a.dumpId - b.dumpId);
}
