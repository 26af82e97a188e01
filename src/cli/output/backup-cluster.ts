// What backup --cluster prints: the receipt, database by database.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ClusterDatabase, ClusterReceipt } from "../../operations/backup-cluster/types.ts";
import { globalsLine } from "./globals.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "restore point" },
  { heading: "snapshot" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "new", align: "right" },
];

function warningsOf({ databaseName, receipt }: ClusterDatabase): string[] {
  return (receipt?.warnings ?? []).map((warning) => `${databaseName}: ${warning}`);
}

/** The receipt; what failed comes last, where it is seen. */
export function renderClusterBackup(receipt: ClusterReceipt): string {
  const failed = receipt.databases.filter((one) => one.receipt === null);
  const rows = receipt.databases.map(({ databaseName, receipt: own }) => {
    if (own === null) return [databaseName, "FAILED", "", "", "", ""];
    const sizes = [formatCount(own.rowCount), formatSize(own.rawBytes), formatSize(own.newBytes)];
    return [databaseName, own.id, formatTime(own.snapshotTakenAt), ...sizes];
  });
  return joinLines([
    `Took cluster restore point ${receipt.id}.`,
    "",
    ...fieldLines([
      ["lineage", receipt.lineage],
      ["parent", receipt.parentId ?? "none, it is the first of its lineage"],
      ["repository", receipt.repository],
      ["server", `${receipt.server}, PostgreSQL ${receipt.serverVersion}`],
      ["started", formatTime(receipt.startedAt)],
      ["finished", `${formatTime(receipt.finishedAt)}, after ${formatDuration(receipt.durationMs)}`],
      ["globals", globalsLine(receipt.globals)],
      ["databases", `${countOf(receipt.databases.length, "database")}, each of a snapshot of its own`],
      ["rows", formatCount(receipt.rowCount)],
      ["data", `${formatSize(receipt.rawBytes)} of plain text, ${formatSize(receipt.newBytes)} new in the repository`],
    ]),
    "",
    ...tableLines(COLUMNS, rows),
    ...listLines("Left out", receipt.leftOut),
    ...listLines("Warnings", [...receipt.warnings, ...receipt.databases.flatMap(warningsOf)]),
    ...listLines(
      "FAILED",
      failed.map(({ databaseName, error }) => `${databaseName}: ${error?.message ?? ""}`),
    ),
    ...(receipt.isComplete
      ? []
      : [
          "",
          `NOT COMPLETE: ${countOf(failed.length, "database")} of ${receipt.databases.length} could not be backed up.`,
        ]),
  ]);
}
