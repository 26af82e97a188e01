// What check prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { CheckReport } from "../../operations/check/types.ts";
import { countOf, fieldLines, joinLines, listLines } from "./text.ts";

/** Beyond so many, only their number is printed; --json has all. */
const FINDINGS_SHOWN_MAX = 200;

/** The verdict first; each finding with the restore point and the tables that it touches; then what nobody needs. */
export function renderCheck(report: CheckReport): string {
  const { deadRuns, findings, isWhole, packBytes, packCount, readBytes, readPackCount, unneededPackCount } = report;
  const shown = findings.slice(0, FINDINGS_SHOWN_MAX).map(({ object, reason, restorePointId, tables }) => {
    const touched = tables.length === 0 ? "" : `, touches ${tables.join(", ")}`;
    return `${restorePointId ?? "the repository"}: ${object}: ${reason}${touched}`;
  });
  const more = findings.length - shown.length;
  const read = `${formatSize(readBytes)} in ${countOf(readPackCount, "pack")}`;
  return joinLines([
    isWhole ? "The repository is whole." : `The repository is DAMAGED: ${countOf(findings.length, "finding")}.`,
    "",
    ...fieldLines([
      ["restore points", formatCount(report.restorePointCount)],
      ["packs", `${formatCount(packCount)}, ${formatSize(packBytes)}`],
      ["references", `${formatCount(report.chunkCount)} to chunks`],
      ["data read", readPackCount === 0 ? "none (--read-data 10% reads a part)" : read],
      ["took", formatDuration(report.durationMs)],
      ["not needed", unneededPackCount === 0 ? null : unneededText(report)],
      ["unfinished", unfinishedText(report)],
    ]),
    ...listLines("Damage", more > 0 ? [...shown, `and ${formatCount(more)} more; --json names all`] : shown),
    ...listLines("Runs that are dead, or perhaps dead", deadRuns),
    ...(isWhole ? [] : ["", "The next backup stores what is damaged anew, as far as the database still has it."]),
  ]);
}

function unneededText({ unneededBytes, unneededPackCount }: CheckReport): string {
  return `${countOf(unneededPackCount, "pack")}, ${formatSize(unneededBytes)} ("cairn prune" removes them)`;
}

function unfinishedText({ unfinishedCount }: CheckReport): string | null {
  if (unfinishedCount === null) return "not looked at: the storage does not allow it";
  return unfinishedCount === 0 ? null : countOf(unfinishedCount, "file");
}
