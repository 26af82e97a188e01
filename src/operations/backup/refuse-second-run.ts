// One backup of a lineage at a time: a second one would read everything again only to store it twice. Runs of other
// hosts and containers, of which nobody here can tell whether they live, are told and not refused: two runs side by
// side harm nothing, and a run that died elsewhere must not block a lineage for ever.

import { OperatingError } from "../../base/errors.ts";
import type { Repository } from "../../repository/index.ts";
import { describeRun } from "../describe-run.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** Which run asks, and for what. */
export interface Claim {
  readonly lineageName: string;
  /** Of the two that begin in one moment, the one with the smaller id goes on; null: not begun, every other one is first. */
  readonly runId: string | null;
}

/** Throws "locked" while a living run of the lineage is at work. Returns warnings. */
export async function refuseSecondRun(
  context: OperationContext,
  repository: Repository,
  claim: Claim,
): Promise<readonly string[]> {
  const runs = await repository.runs(context.signal);
  const others = runs.filter(({ runId, record }) => {
    return record?.lineageName === claim.lineageName && (claim.runId === null || runId < claim.runId);
  });
  const living = others.find(({ state }) => state === "alive");
  if (living !== undefined) {
    throw new OperatingError("locked", `another backup of lineage "${claim.lineageName}" is at work`, {
      detail: `It is ${describeRun(living)}.`,
      hint: "Wait for its end, or give this backup another lineage with --lineage.",
      retryable: true,
    });
  }
  if (claim.runId !== null) return [];
  return others
    .filter(({ state }) => state === "unknown")
    .map((run) => {
      return warn(context, {
        message: `another backup of lineage "${claim.lineageName}" may be at work: ${describeRun(run)}`,
        hint: "It is of another host or container. Both may run; but what both store is stored twice.",
      });
    });
}
