// What a prune is given and gives, and what its steps share.

import type { ChunkReader } from "../chunk-reader.ts";
import type { RepositoryContext } from "../context.ts";
import type { RunBeacon, RunObserver, SeenRun } from "../run-record.ts";
import type { Survey } from "./survey.ts";

/** Where a prune works. */
export interface PrunePlace {
  readonly context: RepositoryContext;
  readonly observer: RunObserver;
  readonly chunks: ChunkReader;
  /** Of the configuration that was read. */
  readonly generation: number;
}

export interface PruneOptions {
  /** How long something is listed before it is deleted. */
  readonly graceMs: number;
  /** Unused bytes that may stay in packs that are needed, as a part of all; above it, packs are repacked. */
  readonly unusedFractionMax: number;
  /** True: nothing is changed. */
  readonly isDryRun: boolean;
  /** False: a run of which nobody knows whether it lives counts as alive, and is not watched. */
  readonly isWaiting: boolean;
  /** True: packs that an earlier data key sealed are sealed anew; left out: only what is repacked anyway. */
  readonly reseals?: boolean;
  readonly signal?: AbortSignal;
  readonly onWait?: (runs: readonly SeenRun[]) => void;
  /** For tests. */
  readonly sleep?: (timeMs: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** What was done with a pack, or in a dry run would be. */
export interface PruneDecision {
  readonly action:
    | "listed"
    | "listed-in-part"
    | "deleted"
    | "repacked"
    | "resealed"
    | "taken-back"
    | "finished-move"
    | "mark-deleted";
  /** A pack, or the name of a mark's object. */
  readonly name: string;
  /** Bytes that it gives back, now or when its time comes. */
  readonly sizeBytes: number;
  readonly reason: string;
  /** Why it could not be done; null: it was. */
  readonly failure: string | null;
}

/** A list that has to wait. */
export interface WaitingList {
  readonly id: string;
  readonly packCount: number;
  readonly reason: string;
}

export interface PruneResult {
  readonly decisions: readonly PruneDecision[];
  readonly waiting: readonly WaitingList[];
  /** Of the packs that are there at the end. */
  readonly packCount: number;
  readonly totalBytes: number;
}

/** What the steps of a prune share. */
export interface PruneWork {
  readonly context: RepositoryContext;
  readonly chunks: ChunkReader;
  readonly options: PruneOptions;
  readonly survey: Survey;
  /** Null in a dry run. */
  readonly beacon: RunBeacon | null;
  readonly runId: string;
  readonly decide: (decision: PruneDecision) => void;
}
