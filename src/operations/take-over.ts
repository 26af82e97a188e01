// What a run that stores rows tells of runs that broke off: what it took over of theirs, and what it leaves itself.

import { formatSize } from "../base/units.ts";
import type { Run } from "../repository/index.ts";
import { warn } from "./events.ts";
import type { OperationContext } from "./operation.ts";

/** What was taken over of runs of the lineage that broke off. */
export interface TakenOverFacts {
  readonly runIds: readonly string[];
  readonly chunkCount: number;
  /** Sealed. */
  readonly bytes: number;
}

/** Null when nothing was. */
export function takenOverFacts({ takenOver }: Run): TakenOverFacts | null {
  if (takenOver === null || takenOver.chunkCount === 0) return null;
  const { bytes, chunkCount, runIds } = takenOver;
  return { runIds, chunkCount, bytes };
}

/** A warning for each pack of theirs that could not be read back. */
export function warnOfRefusedPacks(context: OperationContext, { takenOver }: Run): readonly string[] {
  return (takenOver?.refused ?? []).map(({ pack, reason }) => {
    return warn(context, {
      message: `pack ${pack} of a run that broke off was not taken over: ${reason}`,
      detail: "What it holds was stored anew.",
    });
  });
}

/** Gives a run up at the end of its scope unless it was committed, and tells when it leaves what the next one can use. */
export function givingUp(context: OperationContext, run: Run): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await run.abort();
      if (run.keptBytes === 0) return;
      const message = `what was stored, ${formatSize(run.keptBytes)}, is kept for the next run of this lineage`;
      const detail = "It is read back and taken over where the same rows are found. No restore point was made.";
      const hint = 'Run it again soon, or let "cairn prune" give the space back.';
      context.onEvent({ type: "notice", notice: { severity: "info", message, detail, hint } });
    },
  };
}
