// Whether a restore point that another run has just written is there to stay: until that run has ended, it may yet
// withdraw its manifest. Source: docs/formats/repository.md §6 (commit).

import { isOperatingError } from "../../base/errors.ts";
import type { Repository, RestorePointSummary } from "../../repository/index.ts";

/** What became of a restore point that was there, or whose name was taken. */
export type FoundAgain =
  | { readonly state: "there"; readonly summary: RestorePointSummary }
  | { readonly state: "unreadable" | "gone" | "may be withdrawn" };

/** Reads it again, after the runs: one that has ended before leaves its manifest as it is. */
export async function findAgain(repository: Repository, id: string, signal?: AbortSignal): Promise<FoundAgain> {
  const atWork = await runsAtWork(repository, signal);
  try {
    const { manifest } = await repository.openRestorePoint(id, signal);
    return atWork.has(manifest.runId) ? { state: "may be withdrawn" } : { state: "there", summary: manifest };
  } catch (error) {
    if (isOperatingError(error, "restore_point_not_found")) return { state: "gone" };
    if (isOperatingError(error, "corrupt")) return { state: "unreadable" };
    throw error;
  }
}

/** Ids of the runs that are not dead, as far as anybody here can tell. */
export async function runsAtWork(repository: Repository, signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const runs = await repository.runs(signal);
  return new Set(runs.filter(({ state }) => state !== "dead").map(({ runId }) => runId));
}
