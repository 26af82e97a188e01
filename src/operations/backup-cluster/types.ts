// What a cluster backup is given and gives.

import type { BackupReceipt, BackupSettings } from "../backup/types.ts";
import type { GlobalsFacts } from "../globals-facts.ts";

export interface ClusterBackupSettings extends Omit<BackupSettings, "database" | "globals"> {
  /** psql's patterns of databases that are left out. */
  readonly excludedDatabases: readonly string[];
  readonly withRolePasswords: boolean;
}

/** What became of one database. */
export interface ClusterDatabase {
  readonly databaseName: string;
  /** Null when its backup failed. */
  readonly receipt: BackupReceipt | null;
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
}

export interface ClusterReceipt {
  readonly id: string;
  readonly lineage: string;
  readonly parentId: string | null;
  readonly repository: string;
  /** host:port. */
  readonly server: string;
  readonly serverVersion: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly durationMs: number;
  readonly globals: GlobalsFacts;
  /** In the order in which they were backed up; each has a snapshot of its own. */
  readonly databases: readonly ClusterDatabase[];
  /** Databases left out on purpose, with the reason. */
  readonly leftOut: readonly string[];
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly newBytes: number;
  readonly warnings: readonly string[];
  /** False when a database could not be backed up. */
  readonly isComplete: boolean;
}
