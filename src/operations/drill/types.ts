// What drill is given and gives.

import type { ConnectionSettings } from "../../postgres/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface DrillSettings {
  readonly repository: RepositoryAccess;
  readonly reference: string;
  /** URI or DSN of a server on which a database is made and dropped again; null: a throwaway server. */
  readonly on: string | null;
  /** Queries that must give one row with one value, true. */
  readonly assertions: readonly string[];
  /** Folder for the evidence; null: none is written. */
  readonly evidence: string | null;
  /** Connections of the restore, and tables compared side by side; null: as many as processors. */
  readonly jobs: number | null;
  /** Which pg_dump may write the restored database's table of contents; null: the one found of the archive's version. */
  readonly pgDump: string | null;
}

/** Between the restore and the comparison; tests plant defects here. */
export type OnRestored = (target: ConnectionSettings) => Promise<void>;

/** Something that is missing or different. */
export interface DrillFinding {
  /** "restore" for entries that failed, "assertion", else what was compared. */
  readonly kind: string;
  readonly name: string;
  readonly what: string;
  readonly expected: string | null;
  readonly found: string | null;
}

export interface DrilledTable {
  readonly name: string;
  /** Null where a side could not be read. */
  readonly storedRows: number | null;
  readonly restoredRows: number | null;
  readonly storedSum: string | null;
  readonly restoredSum: string | null;
  readonly isEqual: boolean;
}

export interface DrillReport {
  readonly restorePointId: string;
  readonly lineage: string;
  readonly databaseName: string;
  readonly snapshotTakenAt: string;
  readonly repository: string;
  /** "partial": nothing was different, but not everything could be compared. */
  readonly outcome: "passed" | "partial" | "failed";
  readonly server: {
    readonly kind: "throwaway" | "named";
    readonly version: string;
    readonly description: string;
  };
  readonly startedAt: string;
  readonly finishedAt: string;
  /** The time to restore: from planning it until every entry was restored, without making the server. */
  readonly restoreDurationMs: number;
  readonly phases: readonly { readonly name: string; readonly durationMs: number }[];
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly compared: {
    readonly tables: number;
    readonly sequences: number;
    readonly constraints: number;
    readonly indexes: number;
    readonly largeObjects: number;
    /** Null when the tables of contents were not compared. */
    readonly entries: number | null;
  };
  /** The pg_dump that wrote the restored database's table of contents. */
  readonly pgDump: { readonly version: string; readonly path: string | null } | null;
  readonly tables: readonly DrilledTable[];
  readonly differences: readonly DrillFinding[];
  readonly notCompared: readonly { readonly name: string; readonly reason: string }[];
  /** Differences that PostgreSQL's own tools make, equal otherwise. */
  readonly excused: readonly { readonly name: string; readonly reason: string }[];
  readonly adaptations: readonly string[];
  readonly assertions: readonly { readonly sql: string; readonly isTrue: boolean; readonly problem: string | null }[];
  readonly warnings: readonly string[];
  /** The files of the evidence. */
  readonly evidence: { readonly json: string; readonly html: string } | null;
}

/** A database of a whole server's restore point. */
export interface DrilledDatabase {
  readonly databaseName: string;
  /** Null: its backup failed. */
  readonly restorePointId: string | null;
  /** Null: it was not drilled to its end, see error. */
  readonly report: DrillReport | null;
  readonly error: string | null;
}

/** What came out of a whole server's restore point: its roles and tablespaces, and each of its databases. */
export interface ClusterDrillReport {
  readonly restorePointId: string;
  readonly lineage: string;
  readonly snapshotTakenAt: string;
  readonly repository: string;
  readonly outcome: DrillReport["outcome"];
  readonly server: DrillReport["server"];
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Of all databases together. */
  readonly restoreDurationMs: number;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly globals: {
    readonly roleCount: number;
    readonly membershipCount: number;
    readonly tablespaceCount: number;
    readonly differences: readonly DrillFinding[];
    readonly notCompared: readonly { readonly name: string; readonly reason: string }[];
    /** What every server has of its own. */
    readonly excused: readonly { readonly name: string; readonly reason: string }[];
  };
  readonly databases: readonly DrilledDatabase[];
  readonly warnings: readonly string[];
  readonly evidence: DrillReport["evidence"];
}
