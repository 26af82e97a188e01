// What check is given and gives.

import type { CheckFinding } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface CheckSettings {
  readonly repository: RepositoryAccess;
  /** Part of the data that is read, 0 to 1. */
  readonly readFraction: number;
}

export interface CheckReport {
  readonly isWhole: boolean;
  readonly restorePointCount: number;
  /** Packs that restore points need. */
  readonly packCount: number;
  readonly packBytes: number;
  /** References to chunks that were held against the packs' contents. */
  readonly chunkCount: number;
  readonly readPackCount: number;
  readonly readBytes: number;
  readonly durationMs: number;
  readonly findings: readonly CheckFinding[];
  /** What nobody needs; no damage. */
  readonly unneededPackCount: number;
  readonly unneededBytes: number;
  /** Null: they could not be looked at, for want of the right to. */
  readonly unfinishedCount: number | null;
  /** Ids of runs that are dead, or of which nobody here can tell. */
  readonly deadRuns: readonly string[];
}
