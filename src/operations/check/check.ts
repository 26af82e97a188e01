// `cairn check`: structure, references and sizes of a whole repository, and a part of its data.

import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { CheckReport, CheckSettings } from "./types.ts";

const PROGRESS_INTERVAL_MS = 200;
const NO_COUNTS = { rawBytes: 0, storedBytes: 0, rowCount: 0, tablesDone: 0, tablesTotal: 0 };

/** Checks a repository; what is damaged is in the report, and marked so that later backups store it anew. */
export async function runCheck(context: OperationContext, settings: CheckSettings): Promise<CheckReport> {
  const startedAtMs = performance.now();
  await using repository = await openRepositoryAt(settings.repository);
  const { readFraction } = settings;
  beginPhase(context, "check", readFraction > 0 ? "reading data, then checking references" : "checking references");
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  const { findings, leftovers, ...counts } = await repository.check({
    readFraction,
    signal: context.signal,
    onProgress: ({ fractionDone }) => {
      const nowMs = performance.now();
      if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS) return;
      reportedAtMs = nowMs;
      context.onEvent({ type: "progress", progress: { ...NO_COUNTS, fractionDone } });
    },
  });
  return {
    isWhole: findings.length === 0,
    ...counts,
    durationMs: Math.round(performance.now() - startedAtMs),
    findings,
    unneededPackCount: leftovers.packs.length,
    unneededBytes: leftovers.packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    unfinishedCount: leftovers.unfinished?.length ?? null,
    deadRuns: leftovers.runs.map(({ runId }) => runId),
  };
}
