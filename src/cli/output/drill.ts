// What drill prints: what was compared, the times, and last what is missing or different, where it is seen.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ClusterDrillReport, DrillReport } from "../../operations/drill/types.ts";
import { renderClusterDrill } from "./drill-cluster.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, pgDumpText } from "./text.ts";

/** The report. */
export function renderDrill(report: DrillReport | ClusterDrillReport): string {
  return "databases" in report ? renderClusterDrill(report) : renderDatabaseDrill(report);
}

function renderDatabaseDrill(report: DrillReport): string {
  const { compared, server, phases } = report;
  const items = (all: readonly { readonly name: string; readonly reason: string }[]): string[] =>
    all.map(({ name, reason }) => `${name}: ${reason}`);
  return joinLines([
    ...fieldLines([
      ["restore point", report.restorePointId],
      ["database", `${report.databaseName}, snapshot of ${formatTime(report.snapshotTakenAt)}`],
      ["restored into", `PostgreSQL ${server.version}: ${server.description}`],
      ["time to restore", formatDuration(report.restoreDurationMs)],
      ["rows", `${formatCount(report.rowCount)} (${formatSize(report.rawBytes)} of plain text)`],
      ["compared", comparedText(report)],
      [
        "  entries",
        compared.entries === null ? "NOT compared" : `${formatCount(compared.entries)} of the table of contents`,
      ],
      ["pg_dump", report.pgDump === null ? null : pgDumpText(report.pgDump)],
      ["phases", phases.map(({ name, durationMs }) => `${name} ${formatDuration(durationMs)}`).join(", ")],
      ["evidence", report.evidence === null ? null : `${report.evidence.html}, ${report.evidence.json}`],
    ]),
    ...listLines("Written otherwise by PostgreSQL, equal in meaning", items(report.excused)),
    ...listLines("Adapted to the server", report.adaptations),
    ...listLines(
      "Assertions",
      report.assertions.map(({ sql, problem }) => `${sql}: ${problem ?? "true"}`),
    ),
    ...listLines("NOT COMPARED", items(report.notCompared)),
    ...listLines(
      "MISSING OR DIFFERENT",
      report.differences.map(({ name, what }) => `${name} ${what}`),
    ),
    "",
    sanitizeLine(verdict(report)),
  ]);
}

function comparedText({ compared }: DrillReport): string {
  return [
    countOf(compared.tables, "table"),
    countOf(compared.sequences, "sequence"),
    countOf(compared.constraints, "constraint"),
    countOf(compared.indexes, "index", "indexes"),
    countOf(compared.largeObjects, "large object"),
  ].join(", ");
}

function verdict({ outcome, restorePointId, differences, notCompared }: DrillReport): string {
  if (outcome === "failed") {
    return `DRILL FAILED: ${countOf(differences.length, "finding")} in ${restorePointId}.`;
  }
  if (outcome === "partial") {
    const things = countOf(notCompared.length, "thing was", "things were");
    return `Restored, and nothing is different, but ${things} not compared.`;
  }
  return `Drilled: ${restorePointId} restores, and everything is equal.`;
}
