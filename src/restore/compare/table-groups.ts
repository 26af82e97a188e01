// Which rows are compared with which: a table with its entry; and where rows were loaded through the root of a partition
// tree (they may lie in another partition than before, as with hash keys of an enum), the root with all such entries
// together. Pure.

import type { Toc, TocEntry } from "../../archive/index.ts";
import { loadsThroughPartitionRoot } from "../entry-kinds.ts";
import { firstBracketed, readQualifiedName, splitTopLevel } from "../sql-text.ts";
import { entryName, type NotCompared } from "./difference.ts";
import { placesByName } from "./row-sum.ts";

/** Rows that are compared as one. */
export interface TableGroup {
  readonly name: string;
  /** The statement that reads them from the restored database. */
  readonly statement: string;
  readonly entries: readonly TocEntry[];
  /** For RowSum: places of the columns of each entry, and of the statement; null: the text is the same on both sides. */
  readonly entryPlaces: readonly (readonly number[] | null)[];
  readonly statementPlaces: readonly number[] | null;
}

const COPY = "COPY ";
const FROM_STDIN = / FROM stdin;\s*$/;

/** The groups of an archive's tables, and what cannot be compared. */
export function groupTables(toc: Toc): { readonly groups: TableGroup[]; readonly notCompared: NotCompared[] } {
  const notCompared: NotCompared[] = [];
  const byTarget = new Map<string, TocEntry[]>();
  const groups: TableGroup[] = [];
  for (const entry of toc.entries) {
    if (entry.description !== "TABLE DATA" || !entry.hadDumper) continue;
    const target = copyTarget(entry);
    if (target === null) {
      notCompared.push({ name: entryName(entry), reason: "its rows are no COPY text" });
    } else if (loadsThroughPartitionRoot(entry)) {
      const entries = byTarget.get(target) ?? [];
      byTarget.set(target, [...entries, entry]);
    } else {
      groups.push(groupOfOne(entry));
    }
  }
  return { groups: [...groups, ...[...byTarget].map(([root, entries]) => groupOfRoot(root, entries))], notCompared };
}

/** The text of the relation's name in an entry's COPY statement; null when there is none. */
function copyTarget({ copyStatement }: TocEntry): string | null {
  if (!copyStatement.startsWith(COPY) || !FROM_STDIN.test(copyStatement)) return null;
  const name = readQualifiedName(copyStatement, COPY.length);
  return name === null ? null : copyStatement.slice(COPY.length, name.end);
}

function groupOfOne(entry: TocEntry): TableGroup {
  const statement = entry.copyStatement.replace(FROM_STDIN, " TO STDOUT;");
  return { name: nameOf(entry), statement, entries: [entry], entryPlaces: [null], statementPlaces: null };
}

function groupOfRoot(root: string, entries: readonly TocEntry[]): TableGroup {
  const lists = entries.map(({ copyStatement }) => columnsOf(copyStatement.slice(COPY.length + root.length)));
  const isSame = lists.every((list) => list.join() === lists[0]!.join());
  const columns = isSame ? lists[0]! : lists[0]!.toSorted();
  return {
    name: `partitioned table ${root}`,
    statement: `COPY (SELECT ${columns.join(", ")} FROM ${root}) TO STDOUT;`,
    entries,
    entryPlaces: lists.map((list) => (isSame ? null : placesByName(list))),
    statementPlaces: isSame ? null : placesByName(columns),
  };
}

/** The columns, as they are quoted, in ` (a, "B") FROM stdin;`. */
function columnsOf(text: string): readonly string[] {
  const body = firstBracketed(text);
  if (body === null) return [];
  return splitTopLevel(text.slice(body.start, body.end), ",").map((column) => column.trim());
}

function nameOf({ namespace, tag }: TocEntry): string {
  return `table ${namespace === null || namespace === "" ? "" : `${namespace}.`}${tag}`;
}
