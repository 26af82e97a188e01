// The evidence of a whole server's drill as one HTML page: the server, its roles and tablespaces, then each database as in the
// page of one. Pure.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import { differencesPart, escape, listPart, pageOf, reportBody, table } from "./evidence-page.ts";
import type { ClusterDrillReport, DrilledDatabase } from "./types.ts";

/** The page. */
export function clusterEvidencePage(report: ClusterDrillReport): string {
  const { databases, globals, server } = report;
  return pageOf(
    report,
    [
      table([
        ["Whole server", `lineage ${report.lineage}, ${formatCount(databases.length)} databases`],
        ["Begun", report.snapshotTakenAt],
        ["Repository", report.repository],
        ["Restored into", `PostgreSQL ${server.version}: ${server.description}`],
        ["Drilled", `${report.startedAt} to ${report.finishedAt}`],
        ["Time to restore", formatDuration(report.restoreDurationMs)],
        ["Rows", `${formatCount(report.rowCount)} (${formatSize(report.rawBytes)} of text)`],
        ["Roles, memberships, tablespaces", [globals.roleCount, globals.membershipCount, globals.tablespaceCount].map(formatCount).join(", ")], // prettier-ignore
      ]),
      differencesPart(globals.differences),
      listPart("Roles and tablespaces not compared", globals.notCompared),
      listPart("Roles that every server has of its own", globals.excused),
      ...databases.map(databasePart),
    ].join("\n"),
  );
}

function databasePart({ databaseName, error, report }: DrilledDatabase): string {
  const heading = `<h2>Database ${escape(databaseName)}</h2>`;
  if (report === null) return `${heading}\n<p class="failed">${escape(error ?? "not drilled")}</p>`;
  return `${heading}\n<p class="${report.outcome}">${escape(report.outcome)}</p>\n${reportBody(report)}`;
}
