// What prune is given and gives.

import type { PruneDecision, WaitingList } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

/** Shorter, and a run that slept or a listing that is behind could be overtaken. */
export const GRACE_MS_MIN = 3_600_000;

export interface PruneSettings {
  readonly repository: RepositoryAccess;
  /** At least GRACE_MS_MIN. */
  readonly graceMs: number;
  /** 0 to 1. */
  readonly unusedFractionMax: number;
  /** True: say what would be done, and change nothing. */
  readonly isDryRun: boolean;
  /** False: a run of which nobody knows whether it lives counts as alive. */
  readonly isWaiting: boolean;
  /** True: packs that an earlier data key sealed are sealed anew. */
  readonly reseals?: boolean;
}

export interface PruneReport {
  readonly isDryRun: boolean;
  /** In the order in which they were made. */
  readonly decisions: readonly PruneDecision[];
  readonly waiting: readonly WaitingList[];
  /** Given back now. */
  readonly freedBytes: number;
  /** Listed now, to be given back by a later prune. */
  readonly listedBytes: number;
  readonly failedCount: number;
  /** Packs that are there at the end. */
  readonly packCount: number;
  readonly totalBytes: number;
  readonly durationMs: number;
}
