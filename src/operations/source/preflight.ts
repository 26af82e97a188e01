// Lets a backup or dump go on only when nothing found would make it incomplete.

import { OperatingError } from "../../base/errors.ts";
import { poolerConsole, runPreflight, type Finding, type PreflightOptions } from "../../dump/index.ts";
import type { Session } from "../../postgres/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** Findings told in one error message; doctor shows all. */
const FINDINGS_SHOWN_MAX = 20;

/** Runs the checks; warnings are reported and returned. Throws "preflight_failed" with every blocking finding. */
export async function passPreflight(
  context: OperationContext,
  session: Session,
  options: PreflightOptions,
): Promise<string[]> {
  const console = poolerConsole(session.connection.parameters.get("server_version") ?? "");
  const findings = console === null ? await runPreflight(session, options) : [console];
  refuseBlocking(findings);
  const warnings = findings.filter(({ severity }) => severity === "warning");
  return warnings.map(({ message, detail, hint }) => warn(context, { message, detail, hint }));
}

/** Throws "preflight_failed" when there are findings that would make a backup incomplete, all of them in its detail. */
export function refuseBlocking(findings: readonly Finding[]): void {
  const blocking = findings.filter(({ severity }) => severity === "blocking");
  const first = blocking[0];
  if (first === undefined) return;
  const lines = blocking.slice(0, FINDINGS_SHOWN_MAX).flatMap(({ message, hint, statements }) => {
    return [message, ...(hint === undefined ? [] : [`  ${hint}`]), ...(statements ?? []).map((sql) => `  ${sql}`)];
  });
  const more = blocking.length > FINDINGS_SHOWN_MAX ? [`… and ${blocking.length - FINDINGS_SHOWN_MAX} more`] : [];
  throw new OperatingError("preflight_failed", `the backup would not be complete: ${first.message}`, {
    detail: [...lines, ...more].join("\n"),
    hint: "cairn doctor shows every finding with its cure.",
  });
}
