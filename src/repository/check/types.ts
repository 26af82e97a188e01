// What a check is given and gives.

import type { Leftovers } from "../leftovers.ts";

export interface CheckProgress {
  readonly phase: "read-data" | "structure";
  /** 0 to 1. */
  readonly fractionDone: number;
}

export interface CheckOptions {
  /** Part of the bytes of all packs that is read and authenticated, packs chosen at random; 0: none, 1: all. */
  readonly readFraction: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CheckProgress) => void;
}

/** Something that is not as it should be. */
export interface CheckFinding {
  /** Null: no restore point is touched, e.g. a prune list. */
  readonly restorePointId: string | null;
  /** A pack, an item of one, or another object's name. */
  readonly object: string;
  readonly reason: string;
  /** Tables ("schema.name", or "large objects") of the restore point that it touches; all of them when it is the manifest. */
  readonly tables: readonly string[];
}

/** What a check found: whole when there are no findings. */
export interface CheckResult {
  readonly findings: readonly CheckFinding[];
  readonly restorePointCount: number;
  readonly packCount: number;
  readonly packBytes: number;
  /** References to chunks that were held against the packs' contents. */
  readonly chunkCount: number;
  readonly readPackCount: number;
  readonly readBytes: number;
  /** What is of no use any more; no damage. */
  readonly leftovers: Leftovers;
}
