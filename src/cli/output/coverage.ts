// What coverage prints: a line for each database, then what is in no backup.

import { formatCount, formatSize } from "../../base/units.ts";
import type { CoverageReport, DatabaseCoverage } from "../../operations/coverage/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "database" },
  { heading: "size", align: "right" },
  { heading: "tables", align: "right" },
  { heading: "backup" },
  { heading: "newest restore point" },
];

const STATES: Readonly<Record<DatabaseCoverage["state"], string>> = {
  whole: "whole",
  part: "NOT WHOLE",
  none: "NONE",
  empty: "none, and nothing in it",
  unknown: "UNKNOWN",
};

/** The report. */
export function renderCoverage(report: CoverageReport): string {
  const { databases } = report;
  const rows = databases.map(({ name, sizeBytes, tableCount, state, restorePoints }) => {
    const newest = restorePoints.toSorted((one, other) => (one.id < other.id ? 1 : -1))[0];
    return [
      name,
      sizeBytes === null ? "–" : formatSize(sizeBytes),
      state === "unknown" ? "–" : formatCount(tableCount),
      STATES[state],
      newest === undefined ? "–" : `${newest.id}, ${formatTime(newest.snapshotTakenAt)}`,
    ];
  });
  const without = databases.filter(({ state }) => state === "none");
  return joinLines([
    ...fieldLines([
      ["server", `${report.server}, PostgreSQL ${report.serverVersion}`],
      ["repository", report.repository],
    ]),
    "",
    ...tableLines(COLUMNS, rows),
    ...listLines("Left out", report.leftOut),
    ...listLines(
      "Could not be looked at",
      databases.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${problem}`])),
    ),
    ...databases.flatMap(uncoveredLines),
    ...listLines(
      "DATABASES WITHOUT ANY BACKUP",
      without.map(({ name }) => name),
    ),
    "",
    report.isComplete
      ? "Everything that exists is in a backup."
      : `NOT COVERED: ${countOf(databases.filter(({ state }) => state !== "whole" && state !== "empty").length, "database")}.`,
  ]);
}

function uncoveredLines({ name, uncovered }: DatabaseCoverage): string[] {
  const items = uncovered.map((one) => {
    const size = one.sizeBytes === null ? "" : ` (${formatSize(one.sizeBytes)})`;
    return one.kind === "large objects"
      ? `large objects: ${one.reason}`
      : `${one.kind} ${one.name}${size}: ${one.reason}`;
  });
  return items.length === 0 ? [] : listLines(`IN NO BACKUP of "${sanitizeLine(name)}"`, items);
}
