// What hold and release are given and give.

import type { RepositoryAccess } from "../operation.ts";

export interface ReleaseSettings {
  readonly repository: RepositoryAccess;
  readonly reference: string;
}

export interface HoldSettings extends ReleaseSettings {
  /** For people; empty: none. */
  readonly reason: string;
}

export interface HoldReport {
  readonly restorePointId: string;
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string;
}

export interface ReleaseReport {
  readonly restorePointId: string;
  /** How many holds it had; 0: it was not held. */
  readonly releasedCount: number;
}
