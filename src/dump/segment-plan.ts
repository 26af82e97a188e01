// Cuts tables into segments, fixed ranges of heap blocks, and gives the statement that reads each (pure).
// A relation that cannot be read by block range is one segment, read with pg_dump's own statement.

import { assert } from "../base/assert.ts";
import { copyRangeStatement, parseCopyStatement, relationOfCopy } from "./copy-statement.ts";

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
  return plans.toSorted((a, b) => b.relation.blockCount - a.relation.blockCount || a.dumpId - b.dumpId);
}
