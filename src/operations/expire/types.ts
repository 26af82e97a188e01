// What expire is given and gives.

import type { RetentionRules } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface ExpireSettings {
  readonly repository: RepositoryAccess;
  /** Null: all lineages. */
  readonly lineage: string | null;
  readonly rules: RetentionRules;
  /** True: say what would be done, and change nothing. */
  readonly isDryRun: boolean;
}

/** What became of a restore point, and why. */
export interface ExpireRow {
  readonly id: string;
  /** The folder's key where no manifest of the lineage can be read. */
  readonly lineage: string;
  /** ISO 8601; null when the manifest cannot be read. */
  readonly snapshotTakenAt: string | null;
  readonly isKept: boolean;
  readonly reasons: readonly string[];
  /** Why it could not be removed; else null. */
  readonly failure: string | null;
}

export interface ExpireReport {
  readonly isDryRun: boolean;
  readonly timeZone: string;
  readonly keptCount: number;
  /** Removed, or in a dry run to be removed. */
  readonly removedCount: number;
  readonly failedCount: number;
  /** Newest first within each lineage. */
  readonly restorePoints: readonly ExpireRow[];
}
