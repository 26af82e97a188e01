// What backup --cluster prints: the receipt, database by database.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ClusterDatabase, ClusterReceipt } from "../../operations/backup-cluster/types.ts";
import { readingLines } from "./backup-reading.ts";
import { globalsLine } from "./globals.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "restore point" },
  { heading: "snapshot" },
  { heading: "rows", align: "right" },
  { heading: "data", align: "right" },
  { heading: "read", align: "right" },
  { heading: "new", align: "right" },
];

function warningsOf({ databaseName, receipt }: ClusterDatabase): string[] {
  return (receipt?.warnings ?? []).map((warning) => `${databaseName}: ${warning}`);
}

/** Why everything was read, and what a self-check or --explain tells of a database. */
function clusterReadingLines({ databaseName, receipt }: ClusterDatabase): string[] {
  if (receipt === null) return [];
  const { allReadBecause } = receipt.reading;
  const lines = readingLines(receipt.reading);
  if (allReadBecause === null && lines.length === 0) return [];
  const because = allReadBecause === null ? "" : `: everything was read: ${allReadBecause}`;
  return ["", sanitizeLine(`${databaseName}${because}`), ...lines];
}

/** The receipt; what failed comes last, where it is seen. */
export function renderClusterBackup(receipt: ClusterReceipt): string {
  const failed = receipt.databases.filter((one) => one.receipt === null);
  const rows = receipt.databases.map(({ databaseName, receipt: own }) => {
    if (own === null) return [databaseName, "FAILED", "", "", "", "", ""];
    const { rowCount, rawBytes, reading, newBytes } = own;
    const sizes = [formatCount(rowCount), ...[rawBytes, reading.readRawBytes, newBytes].map(formatSize)];
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
    ...receipt.databases.flatMap(clusterReadingLines),
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
