// What storage test prints: each check, what went wrong with its cure, and the verdict as the last line.

import type { StorageCheck, StorageTestReport } from "../../operations/storage-test/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, joinLines } from "./text.ts";

/** The checks in their order, and the verdict. */
export function renderStorageTest(report: StorageTestReport): string {
  return joinLines([
    ...fieldLines([["storage", report.location]]),
    "",
    ...report.checks.flatMap(checkLines),
    "",
    verdict(report),
  ]);
}

function checkLines({ detail, durationMs, hint, message, name, status }: StorageCheck): string[] {
  const lines = [`${status.padEnd(9)}  ${name}${status === "ok" ? ` (${durationMs} ms)` : ""}`];
  if (message !== null) lines.push(`           ${sanitizeLine(message)}`);
  if (detail !== null) lines.push(`           ${sanitizeLine(detail)}`);
  if (hint !== null) lines.push(`           Cure: ${sanitizeLine(hint)}`);
  return lines;
}

function verdict({ checks, isFit, isReadOnly }: StorageTestReport): string {
  if (isFit) return isReadOnly ? "Fit to restore from." : "Fit for a repository.";
  const failed = checks.filter(({ status }) => status === "failed").length;
  return `NOT fit: ${countOf(failed, "check")} failed.`;
}
