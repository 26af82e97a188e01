// What restore prints: where the data is now, and everything that was not restored.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { RestoreReport } from "../../operations/restore/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, joinLines, listLines, tableRowLines } from "./text.ts";

/** The report; failures come last, where they are seen. */
export function renderRestore(report: RestoreReport): string {
  const { entriesFailed: failed, tables } = report;
  const failures = failed.map(({ dumpId, description, tag, error }) => `${dumpId}; ${description} ${tag}: ${error}`);
  return joinLines([
    ...fieldLines([
      ["restore point", report.restorePointId],
      ["file", report.file ?? null],
      ["database", report.isScratch ? `${report.database} (scratch: drop it when you are done)` : report.database],
      ["entries", `${formatCount(report.entriesDone)} done, ${formatCount(failed.length)} failed${takenOver(report)}`],
      ["rows", formatCount(report.rowCount)],
      ["large objects", formatCount(report.largeObjectCount)],
      ["data", `${formatSize(report.rawBytes)} of plain text`],
      [
        "read",
        `${formatSize(report.bytesRead)} from the ${report.file === undefined ? "repository" : "file"} in ${countOf(report.requestCount, "request")}`,
      ],
      ["took", formatDuration(report.durationMs)],
    ]),
    ...tableRowLines(tables),
    ...listLines("Left out on purpose", report.entriesLeftOut),
    ...listLines("Adapted to the older server", report.adaptations),
    ...listLines("FAILED", failures),
    "",
    sanitizeLine(verdict(report)),
  ]);
}

function takenOver({ entriesTakenOver }: RestoreReport): string {
  if (entriesTakenOver === undefined || entriesTakenOver === 0) return "";
  return `; ${formatCount(entriesTakenOver)} of them were there from the interrupted restore`;
}

function verdict({ restorePointId, file, entriesFailed, isComplete, database }: RestoreReport): string {
  const origin = restorePointId ?? file;
  if (entriesFailed.length > 0) {
    return `NOT COMPLETE: ${countOf(entriesFailed.length, "entry", "entries")} of ${origin} failed; all else is in "${database}".`;
  }
  if (!isComplete) return `NOT COMPLETE: not everything of ${origin} is in "${database}".`;
  return `Everything asked for of ${origin} is in "${database}".`;
}
