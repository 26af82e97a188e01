// What verify is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface VerifySettings {
  readonly repository: RepositoryAccess;
  readonly reference: string;
}

export interface VerifyReport {
  readonly restorePointId: string;
  readonly isIntact: boolean;
  readonly chunkCount: number;
  readonly bytesRead: number;
  readonly rawBytes: number;
  readonly rowCount: number;
  readonly durationMs: number;
  /** Each damaged object with the tables that it touches. */
  readonly damage: readonly { readonly object: string; readonly reason: string; readonly tables: readonly string[] }[];
}
