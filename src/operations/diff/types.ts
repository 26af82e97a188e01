// What diff is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface DiffSettings {
  readonly repository: RepositoryAccess;
  /** The earlier restore point, and the one that it is compared with. */
  readonly before: string;
  readonly after: string;
}

/** A restore point that is compared. */
export interface DiffSide {
  readonly id: string;
  readonly lineage: string;
  readonly databaseName: string;
  readonly snapshotTakenAt: string;
  readonly serverVersion: string;
  readonly rowCount: number;
  readonly rawBytes: number;
}

/** An entry of the table of contents that only one has, or that is defined otherwise. */
export interface SchemaChange {
  readonly name: string;
  readonly change: "added" | "removed" | "changed";
  /** Lines with "+", "-" or " " before them, in hunks as of `diff -u`. */
  readonly text: string;
}

export interface TableAmount {
  readonly rowCount: number;
  readonly rawBytes: number;
}

export interface TableChange {
  readonly name: string;
  /** Null: it is not in that restore point. */
  readonly before: TableAmount | null;
  readonly after: TableAmount | null;
  /** Block ranges whose contents are not the same, and how many there are. */
  readonly segmentsTouched: number;
  readonly segmentCount: number;
}

export interface SequenceChange {
  readonly name: string;
  /** As "value, is_called"; null: it is not in that restore point. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface DiffReport {
  readonly before: DiffSide;
  readonly after: DiffSide;
  readonly schema: readonly SchemaChange[];
  /** Tables whose rows are not the same, and those that only one has. */
  readonly tables: readonly TableChange[];
  readonly unchangedTableCount: number;
  readonly sequences: readonly SequenceChange[];
  readonly largeObjects: {
    readonly before: { readonly count: number; readonly rawBytes: number };
    readonly after: { readonly count: number; readonly rawBytes: number };
    /** False: not one of them is another. */
    readonly isChanged: boolean;
  };
  readonly warnings: readonly string[];
}
