// What show prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ShowResult } from "../../operations/show/types.ts";
import { stateOf, tagsOf } from "./list.ts";
import { fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "table" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "stored", align: "right" },
];

type Summary = Extract<ShowResult, { readonly what: "summary" }>;

/** The summary; or the text of the list or the definitions as it is. */
export function renderShow(result: ShowResult): string {
  return result.what === "summary" ? renderSummary(result) : result.text;
}

function renderSummary(summary: Summary): string {
  const { restorePoint: point, tables } = summary;
  const rows = tables.map(({ name, rowCount, rawBytes, sealedBytes }) => [
    name,
    formatCount(rowCount),
    formatSize(rawBytes),
    formatSize(sealedBytes),
  ]);
  const tags = tagsOf(point);
  return joinLines([
    ...fieldLines([
      ["restore point", point.id],
      ["lineage", point.lineage],
      ["database", point.databaseName],
      ["server", `PostgreSQL ${point.serverVersion}`],
      ["pg_dump", summary.pgDump],
      ["snapshot", formatTime(point.snapshotTakenAt)],
      ["took", formatDuration(point.durationMs)],
      ["options", summary.options.length === 0 ? null : summary.options.join(" ")],
      ["tags", tags.length === 0 ? null : tags.join(" ")],
      ["state", stateOf(point)],
      ["tables", formatCount(tables.length)],
      ["rows", formatCount(point.rowCount)],
      ["large objects", formatCount(summary.largeObjectCount)],
      ["data", `${formatSize(point.rawBytes)} of plain text`],
      ["stored", `${formatSize(point.sealedBytes)} sealed, ${formatSize(point.newBytes)} of it new`],
    ]),
    ...(rows.length === 0 ? [] : ["", ...tableLines(COLUMNS, rows)]),
    ...listLines("Warnings", summary.warnings),
  ]);
}
