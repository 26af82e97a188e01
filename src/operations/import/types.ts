// What import is given and gives.

import type { ArchiveFormat } from "../../archive/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface ImportSettings {
  /** An archive of pg_dump: a file, or the folder of a directory archive. */
  readonly file: string;
  readonly repository: RepositoryAccess;
  /** Null: database@import. */
  readonly lineage: string | null;
  readonly tags: Readonly<Record<string, string>>;
}

export interface ImportReceipt {
  readonly id: string;
  readonly lineage: string;
  readonly parentId: string | null;
  readonly repository: string;
  readonly file: string;
  readonly format: ArchiveFormat | "plain";
  /** True for plain SQL: it is kept, and nobody here will ever execute it. */
  readonly isQuarantined: boolean;
  readonly databaseName: string;
  readonly serverVersion: string;
  readonly pgDumpVersion: string;
  /** When the archive was made, as it says itself; ISO 8601. */
  readonly archiveCreatedAt: string;
  readonly entryCount: number;
  readonly tableCount: number;
  readonly rowCount: number;
  readonly largeObjectCount: number;
  readonly rawBytes: number;
  readonly newBytes: number;
  readonly reusedBytes: number;
  readonly durationMs: number;
  readonly warnings: readonly string[];
}
