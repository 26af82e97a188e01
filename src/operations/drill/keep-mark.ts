// The mark of a drill beside its restore point.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import type { DrillMark, Repository } from "../../repository/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import type { DrillReport } from "./types.ts";

/** What the mark of one database's drill says. */
export function markOf(report: DrillReport): Omit<DrillMark, "at"> {
  return {
    restorePointId: report.restorePointId,
    outcome: report.outcome,
    serverVersion: report.server.version,
    restoreDurationMs: report.restoreDurationMs,
    differenceCount: report.differences.length,
    differences: report.differences.map(({ name, what }) => `${name} ${what}`),
    notCompared: report.notCompared.map(({ name, reason }) => `${name}: ${reason}`),
  };
}

/** A storage that may only be read keeps no mark: the drill is right all the same. */
export async function keepMark(
  context: OperationContext,
  repository: Repository,
  mark: Omit<DrillMark, "at">,
): Promise<void> {
  try {
    await repository.markDrilled(mark);
  } catch (error) {
    if (!isOperatingError(error, "permission_denied")) throw error;
    warn(context, { message: `the drill could not be marked in the repository: ${messageOf(error)}` });
  }
}
