// What doctor prints: findings in the report's order, the worst first, each with its cure.

import type { DoctorReport, Finding } from "../../operations/doctor/types.ts";
import { sanitizeLine, sanitizeText } from "./sanitize.ts";
import { countOf, fieldLines, joinLines, pgDumpText } from "./text.ts";

/** The findings, and the verdict as the last line. */
export function renderDoctor(report: DoctorReport): string {
  return joinLines([
    ...fieldLines([
      ["source", report.source],
      ["encryption", sanitizeLine(report.encryption)],
      ["server", `PostgreSQL ${report.serverVersion}`],
      ["pg_dump", report.pgDump === null ? "none fits" : pgDumpText(report.pgDump)],
    ]),
    "",
    ...report.findings.flatMap(findingLines),
    "",
    verdict(report),
  ]);
}

function findingLines(finding: Finding): string[] {
  const lines = [`${finding.severity.padEnd(8)}  ${sanitizeLine(finding.message)}`];
  const more = (label: string, text: string | undefined): void => {
    if (text === undefined) return;
    for (const line of sanitizeText(text).split("\n")) lines.push(`          ${label}${line}`);
  };
  more("", finding.detail);
  more("Cure: ", finding.hint);
  // A statement may hold line ends inside a quoted name: it stays as it is, so that it can be copied.
  for (const statement of finding.statements ?? []) lines.push(...indented(sanitizeText(statement)));
  return lines;
}

function indented(statement: string): string[] {
  return statement.split("\n").map((line, index) => (index === 0 ? `            ${line}` : line));
}

function verdict({ findings, isReady }: DoctorReport): string {
  const warnings = findings.filter(({ severity }) => severity === "warning").length;
  const withWarnings = warnings === 0 ? "" : `, with ${countOf(warnings, "warning")}`;
  if (isReady) return `Ready for a backup${withWarnings}.`;
  const blocking = findings.filter(({ severity }) => severity === "blocking").length;
  return `Not ready for a backup: ${countOf(blocking, "finding")} to be cured first${withWarnings}.`;
}
