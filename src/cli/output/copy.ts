// What copy prints.

import { formatDuration, formatSize } from "../../base/units.ts";
import type { CopyReport, CopyRow } from "../../operations/copy/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import type { Column } from "./text.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "restore point" },
  { heading: "lineage" },
  { heading: "snapshot" },
  { heading: "stored", align: "right" },
  { heading: "sent", align: "right" },
  { heading: "outcome" },
];
/** So many that were there already are shown; more are counted only. */
const ALREADY_THERE_SHOWN_MAX = 10;

/** Every restore point that something became of, what travelled, and the verdict last. */
export function renderCopy(report: CopyReport): string {
  const { restorePoints, warnings } = report;
  const isShown = report.alreadyThereCount <= ALREADY_THERE_SHOWN_MAX;
  const rows = restorePoints.filter(({ outcome }) => isShown || outcome !== "already there");
  const table = rows.length === 0 ? [] : [...tableLines(COLUMNS, rows.map(cellsOf)), ""];
  return joinLines([...table, ...travelled(report), ...listLines("Warnings", warnings), verdictOf(report)]);
}

function cellsOf(row: CopyRow): string[] {
  const { failure, id, isCluster, lineage, newBytes, outcome, sealedBytes, snapshotTakenAt } = row;
  const words = outcome === "failed" ? `FAILED: ${failure ?? ""}` : outcome;
  return [
    id,
    sanitizeLine(lineage),
    snapshotTakenAt === null ? "unknown" : formatTime(snapshotTakenAt),
    isCluster ? "" : formatSize(sealedBytes),
    outcome === "copied" ? formatSize(newBytes) : "",
    sanitizeLine(words),
  ];
}

function travelled(report: CopyReport): string[] {
  if (report.isDryRun || report.copiedCount === 0) return [];
  const { movedBytes, movedPackCount, resealedBytes, resealedChunkCount } = report;
  const moved = `${countOf(movedPackCount, "pack")}, ${formatSize(movedBytes)}`;
  const resealed = `${countOf(resealedChunkCount, "chunk")}, ${formatSize(resealedBytes)}`;
  return [
    ...fieldLines([
      ["from", report.from],
      ["to", report.to],
      ["moved as it is", report.isAlike ? moved : null],
      ["sealed anew", resealed],
      ["read", formatSize(report.bytesRead)],
      ["written", formatSize(report.bytesWritten)],
      ["duration", formatDuration(report.durationMs)],
    ]),
    "",
  ];
}

function verdictOf({ alreadyThereCount, copiedCount, failedCount, isDryRun }: CopyReport): string {
  const there =
    alreadyThereCount === 0 ? "" : ` ${alreadyThereCount} ${alreadyThereCount === 1 ? "was" : "were"} there already.`;
  const failed = failedCount === 0 ? "" : ` COULD NOT COPY ${failedCount}.`;
  if (isDryRun) return `Would copy ${countOf(copiedCount, "restore point")}.${there}${failed} Nothing was changed.`;
  const copied = copiedCount === 0 ? "Nothing was copied." : `Copied ${countOf(copiedCount, "restore point")}.`;
  return `${copied}${there}${failed}`;
}
