// What prune prints.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { PruneReport } from "../../operations/prune/types.ts";
import { countOf, fieldLines, joinLines, listLines } from "./text.ts";

type Decision = PruneReport["decisions"][number];

/** Beyond so many, only their number is printed; --json has all. */
const LINES_MAX = 40;

const HEADINGS: Readonly<Record<Decision["action"], readonly [done: string, dry: string]>> = {
  deleted: ["Deleted", "Would delete"],
  repacked: ["Repacked", "Would repack"],
  resealed: ["Sealed anew", "Would seal anew"],
  "finished-move": ["Finished repacking", "Would finish repacking"],
  "taken-back": ["No longer listed", "Would no longer list"],
  listed: ["Listed, to be deleted later", "Would list, to be deleted later"],
  "listed-in-part": ["Listed in part, to be repacked later", "Would list in part, to be repacked later"],
  "mark-deleted": ["Deleted marks", "Would delete marks"],
};

/** The verdict, figures, then each decision with its reason. */
export function renderPrune(report: PruneReport): string {
  const { decisions, durationMs, failedCount, freedBytes, isDryRun, listedBytes, packCount, totalBytes } = report;
  const actions = Object.keys(HEADINGS) as Decision["action"][];
  const done = decisions.filter(({ failure }) => failure === null);
  const failed = decisions.filter(({ failure }) => failure !== null);
  const lines = actions.flatMap((action) => {
    const [heading, dry] = HEADINGS[action];
    const some = done.filter((decision) => decision.action === action);
    return boundedLines(isDryRun ? dry : heading, some.map(lineOf)); // prettier-ignore
  });
  const waits = report.waiting.map(({ id, packCount: count, reason }) => `list ${id} (${countOf(count, "pack")}): ${reason}`); // prettier-ignore
  return joinLines([
    verdictOf(report),
    "",
    ...fieldLines([
      [isDryRun ? "would free" : "freed", formatSize(freedBytes)],
      [isDryRun ? "would list" : "listed", formatSize(listedBytes)],
      ["repository", `${formatSize(totalBytes)} in ${countOf(packCount, "pack")}`],
      ["took", formatDuration(durationMs)],
    ]),
    ...lines,
    ...boundedLines("Waiting", waits),
    ...boundedLines("FAILED", failed.map((one) => `${lineOf(one)}: ${one.failure ?? ""}`)), // prettier-ignore
    ...(failedCount === 0 ? [] : ["", "What failed is tried again by the next prune."]),
  ]);
}

function verdictOf({ decisions, failedCount, isDryRun, waiting }: PruneReport): string {
  if (decisions.length === 0 && waiting.length === 0) return "Everything is needed.";
  if (isDryRun) return "Nothing was changed. A prune now would do this:";
  return failedCount === 0 ? "Pruned." : `Pruned, but ${formatCount(failedCount)} failed.`;
}

function lineOf({ name, reason, sizeBytes }: Decision): string {
  return `${name} (${formatSize(sizeBytes)}): ${reason}`;
}

function boundedLines(heading: string, lines: readonly string[]): string[] {
  const more = lines.length - LINES_MAX;
  if (more <= 0) return listLines(heading, lines);
  return listLines(heading, [...lines.slice(0, LINES_MAX), `and ${formatCount(more)} more; --json names all`]);
}
