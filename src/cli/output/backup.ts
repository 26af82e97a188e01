// What backup prints: the receipt.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { BackupReceipt } from "../../operations/backup/types.ts";
import { readingFields, readingLines } from "./backup-reading.ts";
import { globalsLine } from "./globals.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, pgDumpText, type Field } from "./text.ts";

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
      ...deltaFields(receipt),
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

function deltaFields({ deltas }: BackupReceipt): Field[] {
  const { chunkCount, fetchedBytes, rawBytes, requestCount, storedBytes } = deltas;
  const { wholeBytes, wholeChunkCount, withoutBecause } = deltas;
  const what = `${countOf(chunkCount, "chunk")}, ${formatSize(rawBytes)} of plain text in ${formatSize(storedBytes)}`;
  const fetched = `${formatSize(fetchedBytes)} read back for them in ${countOf(requestCount, "request")}`;
  const whole = `${countOf(wholeChunkCount, "changed chunk")} stored whole, ${formatSize(wholeBytes)}: ${withoutBecause}`;
  const lines = [
    ...(chunkCount + requestCount === 0 ? [] : [`${chunkCount === 0 ? "tried, none made" : what}; ${fetched}`]),
    ...(wholeChunkCount === 0 ? [] : [whole]),
  ];
  return lines.map((line, index) => [index === 0 ? "  as deltas" : "", line]);
}
