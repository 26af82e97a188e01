// What doctor is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface DoctorSettings {
  /** URI, DSN or database name; undefined: the PG* environment. */
  readonly source: string | undefined;
  /** pg_dump's selection flags, as words. */
  readonly selection: readonly string[];
  readonly pgDump: string | null;
  readonly repository: RepositoryAccess | null;
}

/** One thing looked at. `blocking` ones would make a backup incomplete or impossible. */
export interface Finding {
  readonly severity: "ok" | "info" | "warning" | "blocking";
  /** Stable name, e.g. "table-privilege". */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
  readonly detail?: string | undefined;
  /** The cure, a sentence. */
  readonly hint?: string | undefined;
  /** Exact statements that cure it, e.g. GRANTs. */
  readonly statements?: readonly string[] | undefined;
}

export interface DoctorReport {
  readonly source: string;
  readonly serverVersion: string;
  readonly pgDump: { readonly version: string; readonly path: string | null } | null;
  readonly findings: readonly Finding[];
  readonly isReady: boolean;
}
