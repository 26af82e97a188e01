// What backup prints: the receipt.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { BackupReceipt } from "../../operations/backup/types.ts";
import { readingFields, readingLines } from "./backup-reading.ts";
import { globalsLine } from "./globals.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, pgDumpText } from "./text.ts";

/** The receipt of a restore point. */
export function renderBackup(receipt: BackupReceipt): string {
  const takenOverBytes = receipt.takenOver?.bytes ?? 0;
  return joinLines([
    `Took restore point ${receipt.id}.`,
    "",
    ...fieldLines([
      ["lineage", receipt.lineage],
      ["parent", receipt.parentId ?? "none, it is the first of its lineage"],
      ["repository", receipt.repository],
      ["source", receipt.source],
      ["database", receipt.databaseName],
      ["server", `PostgreSQL ${receipt.serverVersion}`],
      ["pg_dump", pgDumpText(receipt.pgDump)],
      ["snapshot", formatTime(receipt.snapshotTakenAt)],
      ["started", formatTime(receipt.startedAt)],
      ["finished", `${formatTime(receipt.finishedAt)}, after ${formatDuration(receipt.durationMs)}`],
      ["contents", `${countOf(receipt.entryCount, "entry", "entries")}, ${countOf(receipt.tableCount, "table")}`],
      ["rows", formatCount(receipt.rowCount)],
      ["large objects", formatCount(receipt.largeObjectCount)],
      ["data", `${formatSize(receipt.rawBytes)} of plain text`],
      ...readingFields(receipt.reading),
      ["stored", `${formatSize(receipt.sealedBytes)} sealed`],
      ["  of it new", formatSize(receipt.newBytes)],
      ["  taken over", `${formatSize(receipt.reusedBytes - takenOverBytes)} from earlier restore points`],
      ["", takenOverBytes === 0 ? null : `${formatSize(takenOverBytes)} of a run that broke off`],
      ["  as deltas", deltasText(receipt)],
      ["globals", receipt.globals === null ? null : globalsLine(receipt.globals)],
    ]),
    ...readingLines(receipt.reading),
    ...listLines("Warnings", receipt.warnings),
    ...(receipt.findings.length === 0
      ? []
      : [
          "",
          `LOOK AT THIS: ${countOf(receipt.findings.length, "finding")} of far less data than before, among the warnings.`,
        ]),
  ]);
}

function deltasText({ deltas }: BackupReceipt): string | null {
  const { chunkCount, fetchedBytes, rawBytes, storedBytes } = deltas;
  if (chunkCount === 0 && fetchedBytes === 0) return null;
  if (chunkCount === 0) return `tried, none was worth it; ${formatSize(fetchedBytes)} read back for them`;
  const what = `${countOf(chunkCount, "chunk")}, ${formatSize(rawBytes)} of plain text in ${formatSize(storedBytes)}`;
  return `${what}; ${formatSize(fetchedBytes)} read back for them`;
}
