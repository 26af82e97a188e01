// What copying a restore point from one repository into another is given and gives.

import type { RepositoryContext } from "../context.ts";
import type { RestorePointSummary } from "../manifest.ts";
import type { RestorePoint } from "../restore-point.ts";
import type { Run } from "../run.ts";
import type { StartRunOptions } from "../repository.ts";

export interface CopyProgress {
  /** Sealed bytes that are settled: moved, sealed anew, or found to be there. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly relationsDone: number;
  readonly relationsTotal: number;
}

export interface CopyOptions {
  readonly signal?: AbortSignal;
  /** Called when the run has its record, before anything is stored; throws to give the copy up. */
  readonly onStarted?: (runId: string) => Promise<void>;
  readonly onProgress?: (progress: CopyProgress) => void;
  /** As StartRunOptions has it. */
  readonly keptBytesMin?: number;
}

/** What became of a copy. */
export interface CopyOutcome {
  readonly summary: RestorePointSummary;
  /** Packs that travelled byte for byte, and their bytes. */
  readonly movedPackCount: number;
  readonly movedBytes: number;
  /** Chunks that were opened and sealed anew, and their sealed bytes. */
  readonly resealedChunkCount: number;
  readonly resealedBytes: number;
}

/** A side of a copy: what the parts of this folder need of a repository. */
export interface CopySide {
  /** 32 hex digits. */
  readonly id: string;
  readonly context: RepositoryContext;
  openRestorePoint(id: string, signal?: AbortSignal): Promise<RestorePoint>;
}

/** The side that is written to. */
export interface CopyTarget extends CopySide {
  startRun(options: StartRunOptions): Promise<Run>;
}
