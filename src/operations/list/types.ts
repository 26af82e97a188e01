// What list is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface ListSettings {
  readonly repository: RepositoryAccess;
  /** Null: all lineages. */
  readonly lineage: string | null;
}

export interface ListedRestorePoint {
  readonly id: string;
  readonly lineage: string;
  readonly databaseName: string;
  readonly serverVersion: string;
  readonly snapshotTakenAt: string;
  readonly durationMs: number;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly sealedBytes: number;
  readonly newBytes: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly warningCount: number;
  /** When it was last verified, ISO 8601; null: never. */
  readonly verifiedAt: string | null;
  readonly isDamaged: boolean;
  /** When it was last restored and compared, ISO 8601, and what came out; null: never. */
  readonly drilledAt: string | null;
  readonly drillOutcome: "passed" | "partial" | "failed" | null;
  /** True when no expire removes it until it is released. */
  readonly isHeld: boolean;
  /** Where it was copied from, when it was; `at` is ISO 8601, `repositoryId` this repository's own when both were made alike. */
  readonly copiedFrom: { readonly repositoryId: string; readonly restorePointId: string; readonly at: string } | null;
  /** A whole server's: how many databases it names, and which of them are missing; null: one database's. */
  readonly cluster: { readonly databaseCount: number; readonly failedDatabases: readonly string[] } | null;
}

export interface ListResult {
  /** Newest first. */
  readonly restorePoints: readonly ListedRestorePoint[];
  readonly leftovers: readonly string[];
}
