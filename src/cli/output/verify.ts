// What verify prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { VerifyReport } from "../../operations/verify/types.ts";
import { countOf, fieldLines, joinLines, listLines } from "./text.ts";

/** The verdict first; each damaged object with the tables that it touches. */
export function renderVerify(report: VerifyReport): string {
  const { damage } = report;
  const verdict = report.isIntact
    ? `Restore point ${report.restorePointId} is intact.`
    : `Restore point ${report.restorePointId} is DAMAGED: ${countOf(damage.length, "object")}.`;
  const damaged = damage.map(({ object, reason, tables }) => {
    const touched = tables.length === 0 ? "touches no table's rows" : `touches ${tables.join(", ")}`;
    return `${object}: ${reason}; ${touched}`;
  });
  return joinLines([
    verdict,
    "",
    ...fieldLines([
      ["read", `${formatSize(report.bytesRead)} in ${formatDuration(report.durationMs)}`],
      ["chunks", formatCount(report.chunkCount)],
      ["rows", formatCount(report.rowCount)],
      ["data", `${formatSize(report.rawBytes)} of plain text`],
    ]),
    ...listLines("Damage", damaged),
    ...(report.isIntact
      ? []
      : ["", "The next backup stores what is damaged anew. Other restore points may be whole: verify them."]),
  ]);
}
