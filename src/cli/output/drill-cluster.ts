// What drill prints of a whole server: a line for each database, then what is missing or different, where it is seen.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ClusterDrillReport, DrilledDatabase } from "../../operations/drill/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import type { Column } from "./text.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "restore point" },
  { heading: "outcome" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "time to restore", align: "right" },
];

/** The report. */
export function renderClusterDrill(report: ClusterDrillReport): string {
  const { databases, globals, server } = report;
  const items = (all: readonly { readonly name: string; readonly reason: string }[]): string[] =>
    all.map(({ name, reason }) => `${name}: ${reason}`);
  const each = (of: (report: NonNullable<DrilledDatabase["report"]>) => readonly string[]): string[] =>
    databases.flatMap(({ databaseName, report: one }) => {
      return (one === null ? [] : of(one)).map((line) => `${databaseName}: ${line}`);
    });
  return joinLines([
    ...fieldLines([
      ["restore point", report.restorePointId],
      ["whole server", `${countOf(databases.length, "database")}, begun ${formatTime(report.snapshotTakenAt)}`],
      ["restored into", `PostgreSQL ${server.version}: ${server.description}`],
      ["time to restore", formatDuration(report.restoreDurationMs)],
      ["rows", `${formatCount(report.rowCount)} (${formatSize(report.rawBytes)} of plain text)`],
      ["globals", globalsText(report)],
      ["evidence", report.evidence === null ? null : `${report.evidence.html}, ${report.evidence.json}`],
    ]),
    "",
    ...tableLines(COLUMNS, databases.map(rowOf)),
    ...listLines(
      "Written otherwise by PostgreSQL, equal in meaning",
      each(({ excused }) => items(excused)),
    ),
    ...listLines("Roles that every server has of its own", items(globals.excused)),
    ...listLines(
      "Adapted to the server",
      each(({ adaptations }) => adaptations),
    ),
    ...listLines("NOT COMPARED", [...items(globals.notCompared), ...each(({ notCompared }) => items(notCompared))]),
    ...listLines("MISSING OR DIFFERENT", differencesOf(report)),
    "",
    sanitizeLine(verdict(report)),
  ]);
}

function globalsText({ globals }: ClusterDrillReport): string {
  const { membershipCount, roleCount, tablespaceCount } = globals;
  return [countOf(roleCount, "role"), countOf(membershipCount, "membership"), countOf(tablespaceCount, "tablespace")].join(", "); // prettier-ignore
}

function rowOf({ databaseName, report, restorePointId }: DrilledDatabase): string[] {
  if (report === null) return [databaseName, restorePointId ?? "none", "FAILED", "", "", ""];
  const outcome = { passed: "equal", partial: "in part", failed: "FAILED" }[report.outcome];
  const sizes = [formatCount(report.rowCount), formatSize(report.rawBytes), formatDuration(report.restoreDurationMs)];
  return [databaseName, report.restorePointId, outcome, ...sizes];
}

function differencesOf({ databases, globals }: ClusterDrillReport): string[] {
  const ofDatabases = databases.flatMap(({ databaseName, error, report }) => {
    if (report === null) return [`database ${databaseName}: ${error ?? "it was not drilled"}`];
    return report.differences.map(({ name, what }) => `${databaseName}: ${name} ${what}`);
  });
  return [...globals.differences.map(({ name, what }) => `${name} ${what}`), ...ofDatabases];
}

function verdict(report: ClusterDrillReport): string {
  const { outcome, restorePointId } = report;
  if (outcome === "failed")
    return `DRILL FAILED: ${countOf(differencesOf(report).length, "finding")} in ${restorePointId}.`;
  if (outcome === "partial") return "Restored, and nothing is different, but not everything was compared.";
  return `Drilled: the whole server of ${restorePointId} restores, and everything is equal.`;
}
