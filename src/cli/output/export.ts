// What export prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { ExportReport } from "../../operations/export/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { fieldLines, joinLines } from "./text.ts";

function formatText({ format, archiveVersion, compression }: ExportReport): string {
  return archiveVersion === null ? format : `${format}, version ${archiveVersion}, ${compression}`;
}

/** The archive that was written, and who can read it. */
export function renderExport(report: ExportReport): string {
  return joinLines([
    sanitizeLine(`Wrote restore point ${report.restorePointId} to ${report.file}.`),
    "",
    ...fieldLines([
      ["restore point", report.restorePointId],
      ["file", report.file],
      ["size", formatSize(report.sizeBytes)],
      ["SHA-256", report.sha256],
      ["format", formatText(report)],
      ["readable by", report.readableBy],
      ["rows", formatCount(report.rowCount)],
      ["data", `${formatSize(report.rawBytes)} of plain text`],
      ["took", formatDuration(report.durationMs)],
    ]),
  ]);
}
