// What the steps of a drill share, and what they find.

import type { Repository, RestorePoint } from "../../repository/index.ts";
import type { ContentComparison, Difference, Excused, NotCompared, RestoreResult } from "../../restore/index.ts";
import type { OperationContext } from "../operation.ts";
import type { DrilledContents } from "./drilled-contents.ts";
import type { PhaseTimer } from "./phase-timer.ts";
import type { DrillPlace } from "./place.ts";
import type { JudgingPgDump } from "./restored-toc.ts";
import type { DrillReport, DrillSettings, OnRestored } from "./types.ts";

/** What is to be drilled. */
export interface DrillRequest {
  readonly settings: DrillSettings;
  readonly repository: Repository;
  readonly restorePoint: RestorePoint;
  readonly timer: PhaseTimer;
  readonly onRestored: OnRestored;
}

/** One drill at work. */
export interface Drilling {
  readonly context: OperationContext;
  readonly settings: DrillSettings;
  readonly repository: Repository;
  readonly contents: DrilledContents;
  readonly place: DrillPlace;
  readonly timer: PhaseTimer;
  readonly jobs: number;
  /** The pg_dump that judges the tables of contents; null when none is here. */
  readonly judge: JudgingPgDump | null;
  readonly warnings: string[];
}

/** What came of the tables of contents. */
export interface EntriesCompared {
  /** Null: not compared. */
  readonly comparedCount: number | null;
  readonly differences: readonly Difference[];
  readonly excused: readonly Excused[];
  readonly notCompared: readonly NotCompared[];
  readonly pgDump: DrillReport["pgDump"];
}

/** What came out of the steps of a drill. */
export interface DrillFacts {
  readonly startedAt: Date;
  readonly restored: RestoreResult;
  readonly restoreDurationMs: number;
  readonly content: ContentComparison;
  readonly entries: EntriesCompared;
  readonly assertions: DrillReport["assertions"];
}
