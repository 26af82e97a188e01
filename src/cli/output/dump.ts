// What dump prints: the receipt of the archive.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { DumpReceipt } from "../../operations/dump/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, pgDumpText, tableRowLines } from "./text.ts";

/** The receipt of an archive. */
export function renderDump(receipt: DumpReceipt): string {
  const { readBack } = receipt;
  return joinLines([
    sanitizeLine(`Wrote ${receipt.file} and read it back.`),
    "",
    ...fieldLines([
      ["file", receipt.file],
      ["size", formatSize(receipt.sizeBytes)],
      ["SHA-256", receipt.sha256],
      ["format", `custom, version ${receipt.archiveVersion}, ${receipt.compression}`],
      ["readable by", receipt.readableBy],
      ["source", receipt.source],
      ["database", receipt.databaseName],
      ["server", `PostgreSQL ${receipt.serverVersion}`],
      ["pg_dump", pgDumpText(receipt.pgDump)],
      ["snapshot", formatTime(receipt.snapshotTakenAt)],
      ["started", formatTime(receipt.startedAt)],
      ["finished", `${formatTime(receipt.finishedAt)}, after ${formatDuration(receipt.durationMs)}`],
      ["contents", `${countOf(receipt.entryCount, "entry", "entries")}, ${countOf(receipt.tables.length, "table")}`],
      ["rows", formatCount(receipt.rowCount)],
      ["large objects", formatCount(receipt.largeObjectCount)],
      ["data", `${formatSize(receipt.rawBytes)} of plain text`],
      [
        "read back",
        `${countOf(readBack.rowCount, "row")}, ${formatSize(readBack.rawBytes)}, in ${formatDuration(readBack.durationMs)}`,
      ],
    ]),
    ...tableRowLines(receipt.tables),
    ...listLines("Warnings", receipt.warnings),
  ]);
}
