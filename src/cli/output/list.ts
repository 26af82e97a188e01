// What list prints.

import { formatCount, formatSize } from "../../base/units.ts";
import type { ListResult, ListedRestorePoint } from "../../operations/list/types.ts";
import type { Column } from "./text.ts";
import { countOf, formatTime, joinLines, listLines, tableLines } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "restore point" },
  { heading: "lineage" },
  { heading: "snapshot" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "stored", align: "right" },
  { heading: "new", align: "right" },
  { heading: "state" },
  { heading: "tags" },
];

/** A table of restore points. */
export function renderList(result: ListResult): string {
  const { restorePoints, leftovers } = result;
  const lines =
    restorePoints.length === 0
      ? ["No restore points."]
      : tableLines(columnsFor(restorePoints), restorePoints.map(rowOf));
  return joinLines([
    ...lines,
    ...listLines('Needed by no restore point ("cairn prune" removes it in time)', leftovers),
  ]);
}

/** A column of tags only where there are any. */
function columnsFor(restorePoints: readonly ListedRestorePoint[]): readonly Column[] {
  return restorePoints.some((point) => tagsOf(point).length > 0) ? COLUMNS : COLUMNS.slice(0, -1);
}

function rowOf(point: ListedRestorePoint): string[] {
  return [
    point.id,
    point.lineage,
    formatTime(point.snapshotTakenAt),
    formatCount(point.rowCount),
    formatSize(point.rawBytes),
    formatSize(point.sealedBytes),
    formatSize(point.newBytes),
    stateOf(point),
    tagsOf(point).join(" "),
  ];
}

const DRILL_WORDS = { passed: "drilled", partial: "drilled in part", failed: "DRILL FAILED" } as const;

/** Damaged, verified, drilled, or none of it yet; and how many warnings its backup gave. */
export function stateOf(point: ListedRestorePoint): string {
  const words: string[] = [];
  if (point.isDamaged) words.push("DAMAGED");
  words.push(point.verifiedAt === null ? "not verified" : `verified ${formatTime(point.verifiedAt)}`);
  if (point.drillOutcome !== null && point.drilledAt !== null) {
    words.push(`${DRILL_WORDS[point.drillOutcome]} ${formatTime(point.drilledAt)}`);
  }
  if (point.isHeld) words.push("held");
  if (point.copiedFrom !== null) words.push(`copied ${formatTime(point.copiedFrom.at)}`);
  if (point.cluster !== null) words.unshift(clusterWords(point.cluster));
  if (point.warningCount > 0) words.push(`${point.warningCount} warning${point.warningCount === 1 ? "" : "s"}`);
  return words.join(", ");
}

function clusterWords({ databaseCount, failedDatabases }: NonNullable<ListedRestorePoint["cluster"]>): string {
  const databases = countOf(databaseCount, "database");
  return failedDatabases.length === 0 ? databases : `INCOMPLETE: ${failedDatabases.length} of ${databases} missing`;
}

/** Tags as they were given. */
export function tagsOf(point: ListedRestorePoint): string[] {
  return Object.entries(point.tags).map(([key, value]) => `${key}=${value}`);
}
