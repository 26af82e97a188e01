// `cairn prune`: gives the space of what nobody needs back, in two steps with a grace between them.

import { OperatingError } from "../../base/errors.ts";
import type { PruneDecision, SeenRun } from "../../repository/index.ts";
import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { GRACE_MS_MIN } from "./types.ts";
import type { PruneReport, PruneSettings } from "./types.ts";

const FREEING = new Set<PruneDecision["action"]>(["deleted", "repacked", "finished-move", "mark-deleted"]);
const LISTING = new Set<PruneDecision["action"]>(["listed", "listed-in-part"]);

/** One prune; every decision is in the report with its reason. */
export async function runPrune(context: OperationContext, settings: PruneSettings): Promise<PruneReport> {
  const startedAtMs = performance.now();
  const { graceMs, isDryRun, isWaiting, reseals = false, unusedFractionMax } = settings;
  if (!(graceMs >= GRACE_MS_MIN)) throw new OperatingError("usage", "the grace of a prune must be at least 1 hour");
  await using repository = await openRepositoryAt(settings.repository);
  beginPhase(context, "prune", isDryRun ? "deciding what would be removed" : "removing what nobody needs");
  const onWait = (runs: readonly SeenRun[]): void => tellOfWait(context, runs);
  const options = { graceMs, unusedFractionMax, isDryRun, isWaiting, reseals, onWait, signal: context.signal };
  const { decisions, packCount, totalBytes, waiting } = await repository.prune(options);
  const bytesOf = (actions: ReadonlySet<PruneDecision["action"]>): number => {
    const done = decisions.filter(({ action, failure }) => failure === null && actions.has(action));
    return done.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  };
  return {
    isDryRun,
    decisions,
    waiting,
    freedBytes: bytesOf(FREEING),
    listedBytes: bytesOf(LISTING),
    failedCount: decisions.filter(({ failure }) => failure !== null).length,
    packCount,
    totalBytes,
    durationMs: Math.round(performance.now() - startedAtMs),
  };
}

function tellOfWait(context: OperationContext, runs: readonly SeenRun[]): void {
  const names = runs.map(({ record, runId }) => `${runId}${record === null ? "" : ` on "${record.hostName}"`}`);
  const message = `watching ${runs.length === 1 ? "a run" : `${runs.length} runs`} of another machine: ${names.join(", ")}`;
  const hint = "A minute if it lives, half an hour if it died. With --no-wait it counts as alive.";
  context.onEvent({ type: "notice", notice: { severity: "info", message, hint } });
}
