// What a cluster restore is given and gives.

import type { RepositoryAccess } from "../operation.ts";
import type { RestoreReport } from "../restore/types.ts";

export interface ClusterRestoreSettings {
  readonly repository: RepositoryAccess;
  /** A cluster restore point. */
  readonly reference: string;
  /** URI or DSN of the server; a database in it is only where to connect first. */
  readonly target: string;
  /** Connections per database; null: 1. */
  readonly jobs: number | null;
  /** Go on although the server is of an older major than the source was. */
  readonly allowsOlderServer: boolean;
  /** New places of tablespaces, by the old ones. */
  readonly tablespaceMapping: Readonly<Record<string, string>>;
}

/** What became of one database. */
export interface RestoredDatabase {
  readonly databaseName: string;
  /** Null: it was missing in the cluster restore point already. */
  readonly restorePointId: string | null;
  /** It was on the server already, empty. */
  readonly wasThere: boolean;
  readonly report: RestoreReport | null;
  /** Why nothing of it was restored, or all ended early. */
  readonly error: string | null;
}

export interface ClusterRestoreReport {
  readonly restorePointId: string;
  /** host:port. */
  readonly server: string;
  readonly globals: {
    /** Roles, settings, memberships, privileges, tablespaces made. */
    readonly doneCount: number;
    readonly failed: readonly { readonly subject: string; readonly error: string }[];
    /** What was there already and otherwise, and was kept. */
    readonly differences: readonly string[];
    readonly adaptations: readonly string[];
  };
  readonly databases: readonly RestoredDatabase[];
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly durationMs: number;
  readonly isComplete: boolean;
}
