// What copy is given and gives.

import type { TagPattern } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface CopySettings {
  readonly from: RepositoryAccess;
  readonly to: RepositoryAccess;
  /** Restore points and lineages; none with `isAll`. */
  readonly references: readonly string[];
  readonly isAll: boolean;
  /** Of each lineage only the newest so many; null: all. Restore points that are named themselves are copied anyway. */
  readonly last: number | null;
  /** Only restore points with one of these tags; none: all. */
  readonly tags: readonly TagPattern[];
  /** True: say what would be copied, and change nothing. */
  readonly isDryRun: boolean;
  /** True when the user said that an encrypted repository may be copied into an unencrypted one. */
  readonly allowsUnencrypted: boolean;
}

/** What became of a restore point. */
export type CopyOutcome = "copied" | "to be copied" | "already there" | "failed";

export interface CopyRow {
  readonly id: string;
  /** The folder's key where the manifest cannot be read. */
  readonly lineage: string;
  /** ISO 8601; null when the manifest cannot be read. */
  readonly snapshotTakenAt: string | null;
  /** True for the restore point of a whole server, which names those of its databases. */
  readonly isCluster: boolean;
  readonly outcome: CopyOutcome;
  /** Why it was not copied; else null. */
  readonly failure: string | null;
  /** Sealed bytes that it refers to, in the source. */
  readonly sealedBytes: number;
  /** Bytes of the packs that were stored for it. */
  readonly newBytes: number;
  /** Packs that travelled byte for byte. */
  readonly movedPackCount: number;
  readonly movedBytes: number;
  /** Chunks that were opened and sealed anew. */
  readonly resealedChunkCount: number;
  readonly resealedBytes: number;
}

export interface CopyReport {
  readonly from: string;
  readonly to: string;
  /** True when packs move byte for byte: the repositories were made alike. */
  readonly isAlike: boolean;
  readonly isDryRun: boolean;
  readonly copiedCount: number;
  readonly alreadyThereCount: number;
  readonly failedCount: number;
  /** Sums over the restore points. */
  readonly movedPackCount: number;
  readonly movedBytes: number;
  readonly resealedChunkCount: number;
  readonly resealedBytes: number;
  /** From the repository that was copied from, all that had to be read. */
  readonly bytesRead: number;
  /** Into the other. */
  readonly bytesWritten: number;
  readonly durationMs: number;
  /** In the order in which they were copied: oldest first. */
  readonly restorePoints: readonly CopyRow[];
  readonly warnings: readonly string[];
}
