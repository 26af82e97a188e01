// Cuts tables into segments, fixed ranges of heap blocks, and gives the statement that reads each (pure).
// A relation that cannot be read by block range is one segment, read with pg_dump's own statement.

import { assert } from "../base/assert.ts";
import { copyRangeStatement, parseCopyStatement, relationOfCopy } from "./copy-statement.ts";

/**
 * Blocks of 8 KiB in one segment: 4 MiB of heap, fewer where much is stored beside the heap. The manifest records for each
 * table how it was cut; what a parent cut in another way is not reused.
 */
export const SEGMENT_BLOCK_COUNT = 512;

/** A segment's blocks, those beside its heap counted too, are at most so many times those of one without such. */
const BLOCKS_WITH_TOAST_FACTOR = 2;

/** A table stays cut as it was until its segments are so many times too large or too small. */
const FORMER_CUT_FACTOR = 4;

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
  /** Of its TOAST table now; 0 where the main fork has no more than one block. */
  readonly toastBlockCount: number;
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
  /** The relation's name as pg_dump quoted it, for LOCK TABLE; null for foreign tables, which pg_dump does not lock. */
  readonly quotedName: string | null;
  readonly segmentBlockCount: number;
  readonly segments: readonly Segment[];
}

/** pg_dump's words around the COPY of a foreign table, to which its session has no access otherwise (12 and later, 2024). */
const RELATION_KINDS = "restrict_nonsystem_relation_kind";
const setRestricted = (kinds: string): string =>
  `SELECT pg_catalog.set_config(name, '${kinds}', false) FROM pg_catalog.pg_settings WHERE name = '${RELATION_KINDS}'`;

/** The whole table by pg_dump's own statement. */
function wholeStatement({ relation, copyStatement }: TableToRead): string {
  if (relation.kind !== "f") return copyStatement;
  const copy = copyStatement.replace(/;\s*$/, "");
  return `${setRestricted("view")}; ${copy}; ${setRestricted("view, foreign-table")}`;
}

/**
 * Heap blocks in a segment of that table: `unit`, halved while too much is stored beside the heap, so that a segment stands for
 * a bounded amount of text where rows are long too. Where a former dump cut the table nearly so, it stays as it was: segments that
 * do not begin at the same blocks have nothing in common.
 */
export function segmentBlockCountOf(
  { blockCount, toastBlockCount }: Pick<RelationFacts, "blockCount" | "toastBlockCount">,
  unit: number = SEGMENT_BLOCK_COUNT,
  former: number | null = null,
): number {
  const limit = BLOCKS_WITH_TOAST_FACTOR * unit * blockCount;
  let count = unit;
  while (count > 1 && count * (blockCount + toastBlockCount) > limit) count = Math.floor(count / 2);
  if (former === null || former < 1 || former > unit) return count;
  const isNear = former <= count * FORMER_CUT_FACTOR && count <= former * FORMER_CUT_FACTOR;
  return isNear ? former : count;
}

/** The segments of one table, in the order of the heap; the last one is open-ended. */
export function planTable(
  table: TableToRead,
  serverMajor: number,
  segmentBlockCount = segmentBlockCountOf(table.relation),
): TablePlan {
  assert(segmentBlockCount > 0, "a segment has blocks");
  const parts = parseCopyStatement(table.copyStatement);
  const { relation } = table;
  const byRange =
    parts !== null &&
    serverMajor >= TID_RANGE_SCAN_MAJOR_MIN &&
    relation.kind === "r" &&
    relation.accessMethod === "heap" &&
    relation.blockCount > segmentBlockCount;
  const quotedName = relation.kind === "f" ? null : relationOfCopy(table.copyStatement);
  const plan = { ...table, quotedName, segmentBlockCount };
  if (!byRange) return { ...plan, segments: [{ firstBlock: 0, blockCount: null, statement: wholeStatement(table) }] };
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
  const size = ({ relation }: TablePlan): number => relation.blockCount + relation.toastBlockCount;
  return plans.toSorted((a, b) => size(b) - size(a) || a.dumpId - b.dumpId);
}
