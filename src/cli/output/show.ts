// What show prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ShowResult } from "../../operations/show/types.ts";
import { globalsLine } from "./globals.ts";
import { stateOf, tagsOf } from "./list.ts";
import { fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "table" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "stored", align: "right" },
];

const CLUSTER_COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "restore point" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "stored", align: "right" },
];

type Summary = Extract<ShowResult, { readonly what: "summary" }>;

/** The summary; or the text of the list or the definitions as it is. */
export function renderShow(result: ShowResult): string {
  if (result.what !== "summary") return result.text;
  return result.cluster === null ? renderSummary(result) : renderCluster(result, result.cluster);
}

function renderCluster(summary: Summary, { members, leftOut }: NonNullable<Summary["cluster"]>): string {
  const { restorePoint: point } = summary;
  const tags = tagsOf(point);
  const rows = members.map((member) => {
    const { databaseName, restorePointId, error, rowCount, rawBytes, sealedBytes } = member;
    if (restorePointId === null) return [databaseName, `MISSING: ${error ?? "unknown"}`, "", "", ""];
    return [databaseName, restorePointId, formatCount(rowCount), formatSize(rawBytes), formatSize(sealedBytes)];
  });
  return joinLines([
    ...fieldLines([
      ["cluster restore point", point.id],
      ["lineage", point.lineage],
      ["server", `PostgreSQL ${point.serverVersion}`],
      ["first snapshot", formatTime(point.snapshotTakenAt)],
      ["took", formatDuration(point.durationMs)],
      ["tags", tags.length === 0 ? null : tags.join(" ")],
      ["state", stateOf(point)],
      ["copied from", point.copiedFrom && `repository ${point.copiedFrom.repositoryId}`],
      ["globals", summary.globals === null ? null : globalsLine(summary.globals)],
      ["rows", formatCount(point.rowCount)],
      ["data", `${formatSize(point.rawBytes)} of plain text`],
      ["stored", `${formatSize(point.sealedBytes)} sealed, ${formatSize(point.newBytes)} of it new`],
    ]),
    "",
    ...tableLines(CLUSTER_COLUMNS, rows),
    ...listLines("Left out", leftOut),
    ...listLines("Warnings", summary.warnings),
  ]);
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
      ["copied from", point.copiedFrom && `repository ${point.copiedFrom.repositoryId}`],
      ["tables", formatCount(tables.length)],
      ["rows", formatCount(point.rowCount)],
      ["large objects", formatCount(summary.largeObjectCount)],
      ["data", `${formatSize(point.rawBytes)} of plain text`],
      ["stored", `${formatSize(point.sealedBytes)} sealed, ${formatSize(point.newBytes)} of it new`],
      ["globals", summary.globals === null ? null : globalsLine(summary.globals)],
    ]),
    ...(rows.length === 0 ? [] : ["", ...tableLines(COLUMNS, rows)]),
    ...listLines("Warnings", summary.warnings),
  ]);
}
