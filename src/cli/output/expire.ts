// What expire prints.

import type { ExpireReport, ExpireRow } from "../../operations/expire/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, formatTime, joinLines, tableLines } from "./text.ts";

const COLUMNS = [{ heading: "restore point" }, { heading: "snapshot" }, { heading: "decision" }, { heading: "why" }];

/** Every restore point with what became of it and why; the verdict last. */
export function renderExpire(report: ExpireReport): string {
  const lineages = Map.groupBy(report.restorePoints, ({ lineage }) => lineage);
  const tables = [...lineages].flatMap(([lineage, rows]) => {
    const cells = rows.map((row) => cellsOf(row, report.isDryRun));
    return [`${sanitizeLine(lineage)}:`, ...tableLines(COLUMNS, cells), ""];
  });
  return joinLines([...tables, verdictOf(report)]);
}

function cellsOf(row: ExpireRow, isDryRun: boolean): string[] {
  const { failure, id, isKept, reasons, snapshotTakenAt } = row;
  const decision = isKept ? "keep" : failure !== null ? "FAILED" : isDryRun ? "would remove" : "removed";
  const why = failure === null ? reasons : [failure, ...reasons];
  return [id, snapshotTakenAt === null ? "unknown" : formatTime(snapshotTakenAt), decision, why.join("; ")];
}

function verdictOf({ failedCount, isDryRun, keptCount, removedCount }: ExpireReport): string {
  const removed = `${countOf(removedCount, "restore point")}, ${keptCount} stay${keptCount === 1 ? "s" : ""}`;
  if (isDryRun) return `Would remove ${removed}. Nothing was changed.`;
  const space = removedCount === 0 ? "" : ' Their space comes back with "cairn prune".';
  const failed = failedCount === 0 ? "" : ` COULD NOT REMOVE ${failedCount}.`;
  return `Removed ${removed}.${failed}${space}`;
}
