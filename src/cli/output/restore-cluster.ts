// What restore --cluster prints: database by database, and everything that was not made as it was.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ClusterRestoreReport, RestoredDatabase } from "../../operations/restore-cluster/types.ts";
import { fieldLines, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "restore point" },
  { heading: "entries", align: "right" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "outcome" },
];

/** The report; failures come last, where they are seen. */
export function renderClusterRestore(report: ClusterRestoreReport): string {
  const { globals, databases } = report;
  const failures = [
    ...globals.failed.map(({ subject, error }) => `${subject}: ${error}`),
    ...databases.flatMap(failuresOf),
  ];
  return joinLines([
    ...fieldLines([
      ["cluster restore point", report.restorePointId],
      ["server", report.server],
      ["globals", `${formatCount(globals.doneCount)} made, ${formatCount(globals.failed.length)} failed`],
      ["databases", formatCount(databases.length)],
      ["rows", formatCount(report.rowCount)],
      ["data", `${formatSize(report.rawBytes)} of plain text`],
      ["took", formatDuration(report.durationMs)],
    ]),
    "",
    ...tableLines(COLUMNS, databases.map(rowOf)),
    ...listLines("Kept as it was there", globals.differences),
    ...listLines("Adapted to the target", [...globals.adaptations, ...databases.flatMap(adaptationsOf)]),
    ...listLines("FAILED", failures),
    "",
    report.isComplete
      ? `The server holds everything of ${report.restorePointId}.`
      : `NOT COMPLETE: not everything of ${report.restorePointId} is on the server.`,
  ]);
}

function rowOf({ databaseName, restorePointId, wasThere, report }: RestoredDatabase): string[] {
  if (report === null) return [databaseName, restorePointId ?? "MISSING", "", "", "", "FAILED"];
  return [
    databaseName,
    restorePointId ?? "",
    formatCount(report.entriesDone),
    formatCount(report.rowCount),
    formatSize(report.rawBytes),
    report.isComplete ? (wasThere ? "filled" : "created") : "NOT COMPLETE",
  ];
}

function adaptationsOf({ databaseName, report }: RestoredDatabase): string[] {
  return (report?.adaptations ?? []).map((adaptation) => `${databaseName}: ${adaptation}`);
}

function failuresOf({ databaseName, report, error }: RestoredDatabase): string[] {
  if (error !== null) return [`${databaseName}: ${error}`];
  const failed = report?.entriesFailed ?? [];
  if (failed.length === 0 && report?.isComplete === false) return [`${databaseName}: not everything was restored`];
  return failed.map(({ dumpId, description, tag, error: reason }) => {
    return `${databaseName}: ${dumpId}; ${description} ${tag}: ${reason}`;
  });
}
