// What export is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface ExportSettings {
  readonly repository: RepositoryAccess;
  readonly reference: string;
  readonly file: string;
  readonly overwrite: boolean;
  /** Only "custom" so far. */
  readonly format: string;
  readonly archiveVersion: string | null;
  readonly compression: string | null;
}

export interface ExportReport {
  readonly restorePointId: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly archiveVersion: string;
  readonly compression: string;
  readonly readableBy: string;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly durationMs: number;
}
