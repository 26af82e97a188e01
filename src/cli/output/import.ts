// What import prints: the receipt.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ImportReceipt } from "../../operations/import/types.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines } from "./text.ts";

/** The receipt of a restore point that was an archive. */
export function renderImport(receipt: ImportReceipt): string {
  const { isQuarantined } = receipt;
  return joinLines([
    `Made restore point ${receipt.id} of an archive.`,
    "",
    ...fieldLines([
      ["lineage", receipt.lineage],
      ["parent", receipt.parentId ?? "none, it is the first of its lineage"],
      ["repository", receipt.repository],
      ["file", receipt.file],
      ["format", isQuarantined ? "plain SQL, quarantined: it is kept, and never executed" : receipt.format],
      ["database", receipt.databaseName],
      ["server", isQuarantined ? null : `PostgreSQL ${receipt.serverVersion}`],
      ["pg_dump", isQuarantined ? null : receipt.pgDumpVersion],
      ["archive of", formatTime(receipt.archiveCreatedAt)],
      ["contents", `${countOf(receipt.entryCount, "entry", "entries")}, ${countOf(receipt.tableCount, "table")}`],
      [isQuarantined ? "lines" : "rows", formatCount(receipt.rowCount)],
      ["large objects", formatCount(receipt.largeObjectCount)],
      ["data", `${formatSize(receipt.rawBytes)} of plain text`],
      ["new", formatSize(receipt.newBytes)],
      ["taken over", `${formatSize(receipt.reusedBytes)} from earlier restore points`],
      ["took", formatDuration(receipt.durationMs)],
    ]),
    ...listLines("Warnings", receipt.warnings),
  ]);
}
