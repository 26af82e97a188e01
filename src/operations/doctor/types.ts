// What doctor is given and gives.

import type { Finding } from "../../dump/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export type { Finding } from "../../dump/index.ts";

export interface DoctorSettings {
  /** URI, DSN or database name; undefined: the PG* environment. */
  readonly source: string | undefined;
  /** pg_dump's selection flags, as words. */
  readonly selection: readonly string[];
  readonly pgDump: string | null;
  readonly repository: RepositoryAccess | null;
}

export interface DoctorReport {
  readonly source: string;
  /** What protects the connection: TLS, what was verified, which client certificate was shown. */
  readonly encryption: string;
  readonly serverVersion: string;
  readonly pgDump: { readonly version: string; readonly path: string | null } | null;
  /** What stops a backup comes first. */
  readonly findings: readonly Finding[];
  readonly isReady: boolean;
}
