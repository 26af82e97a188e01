// What export is given and gives.

import type { ArchiveFormat } from "../../archive/index.ts";
import type { RepositoryAccess } from "../operation.ts";

/** A format of pg_dump: an archive for pg_restore, or SQL for psql. */
export type ExportFormat = ArchiveFormat | "plain";

export interface ExportSettings {
  readonly repository: RepositoryAccess;
  readonly reference: string;
  /** The file, or the folder of a directory archive. */
  readonly file: string;
  readonly overwrite: boolean;
  /** An ExportFormat, or its first letter. */
  readonly format: string;
  readonly archiveVersion: string | null;
  readonly compression: string | null;
  /** Of plain SQL; left out: made up. */
  readonly restrictKey?: string | undefined;
}

export interface ExportReport {
  readonly restorePointId: string;
  readonly file: string;
  readonly format: ExportFormat;
  readonly sizeBytes: number;
  /** Hex; null for a folder. */
  readonly sha256: string | null;
  /** Null for plain SQL. */
  readonly archiveVersion: string | null;
  readonly compression: string;
  readonly readableBy: string;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly durationMs: number;
}
