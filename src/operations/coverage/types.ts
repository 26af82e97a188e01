// What coverage is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface CoverageSettings {
  /** Any database of the server. */
  readonly source: string | undefined;
  readonly repository: RepositoryAccess;
  /** psql's patterns of databases that need no backup. */
  readonly excludedDatabases: readonly string[];
}

/** Something that exists and is in no backup. */
export interface Uncovered {
  readonly kind: "table" | "sequence" | "large objects";
  readonly name: string;
  /** E.g. "its definition is, its rows are not". */
  readonly reason: string;
  /** Null where it is not known. */
  readonly sizeBytes: number | null;
}

/** A restore point that counts: the newest of a lineage of the database. */
export interface CoveringRestorePoint {
  readonly id: string;
  readonly lineage: string;
  readonly snapshotTakenAt: string;
}

export interface DatabaseCoverage {
  readonly name: string;
  readonly sizeBytes: number | null;
  /** "none": no backup at all; "empty": none, and there is nothing in it; "unknown": it could not be looked at. */
  readonly state: "whole" | "part" | "none" | "empty" | "unknown";
  readonly restorePoints: readonly CoveringRestorePoint[];
  readonly tableCount: number;
  readonly uncovered: readonly Uncovered[];
  /** Why it could not be looked at. */
  readonly problem: string | null;
}

export interface CoverageReport {
  /** host:port. */
  readonly server: string;
  readonly serverVersion: string;
  readonly repository: string;
  readonly databases: readonly DatabaseCoverage[];
  /** Databases that were left out, with the reason. */
  readonly leftOut: readonly string[];
  /** True when everything that exists is in a backup. */
  readonly isComplete: boolean;
}
