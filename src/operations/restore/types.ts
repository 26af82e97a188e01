// What restore is given and gives.

import type { RestoreOptions } from "../../restore/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface RestoreSettings {
  /** Null where a file is restored. */
  readonly repository: RepositoryAccess | null;
  readonly reference: string;
  /** An archive of pg_dump, in place of a restore point. */
  readonly file?: string | undefined;
  /** URI or DSN of the target database. */
  readonly target: string;
  readonly options: RestoreOptions;
  /**
   * Into the target itself, or into a new scratch database on the target's server (`name` null: one is made up).
   * The CLI's default is scratch for -t and -n. `resumes`: go on with one that was interrupted.
   */
  readonly mode:
    | { readonly kind: "in-place" }
    | { readonly kind: "scratch"; readonly name: string | null; readonly resumes?: boolean };
  /** Let a target that holds objects be written to, as -a, --clean and --in-place do. */
  readonly allowsNonEmptyTarget: boolean;
}

export interface RestoreReport {
  /** Null where a file was restored. */
  readonly restorePointId: string | null;
  /** The archive that was restored in place of a restore point. */
  readonly file?: string | undefined;
  /** The database that now holds the data. */
  readonly database: string;
  readonly isScratch: boolean;
  readonly entriesDone: number;
  /** How many of them, or of those that failed, an interrupted run had left; only for a scratch database. */
  readonly entriesTakenOver?: number;
  readonly entriesFailed: readonly {
    readonly dumpId: number;
    readonly description: string;
    readonly tag: string;
    readonly error: string;
  }[];
  /** Entries left out on purpose, e.g. foreign keys in a scratch database. */
  readonly entriesLeftOut: readonly string[];
  readonly adaptations: readonly string[];
  readonly tables: readonly { readonly name: string; readonly rowCount: number }[];
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly largeObjectCount: number;
  readonly durationMs: number;
  /** Bytes and requests that the storage served, or the file system. */
  readonly bytesRead: number;
  readonly requestCount: number;
  /** True when everything asked for was restored. */
  readonly isComplete: boolean;
}
