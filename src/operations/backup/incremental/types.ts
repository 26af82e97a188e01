// What a backup is told of incremental reading, and what it tells of it.

import type { LargeObjectRange } from "../segment-choice.ts";

/** How a run reads. */
export interface ReadingSettings {
  /** Read everything, and trust the lineage again. */
  readonly isFull: boolean;
  /** Read everything, and compare it with what would have been taken over. */
  readonly isReread: boolean;
  /** Every so many runs does so by itself; 0: none does. */
  readonly rereadEvery: number;
  /**
   * How summaries come up to date: the next timed checkpoint is waited for, one is asked for, or neither. Null: it is waited
   * for unless it is not due in time (wait-choice.ts).
   */
  readonly checkpoint: "wait" | "now" | "none" | "where much is read" | null;
  /** Whether the receipt tells of each relation. */
  readonly isExplained: boolean;
}

export const READING_DEFAULTS: ReadingSettings = {
  isFull: false,
  isReread: false,
  rereadEvery: 24,
  checkpoint: null,
  isExplained: false,
};

/** A segment that holds something else than what would have been taken over. */
export interface SegmentDifference {
  readonly table: string;
  readonly firstBlock: number;
  /** Null: to the end of the table. */
  readonly blockCount: number | null;
}

/** What a self-check compared. */
export interface SelfCheckFacts {
  readonly comparedSegmentCount: number;
  readonly comparedLargeObjectCount: number;
  /** Segments that differ, and groups of large objects. */
  readonly differenceCount: number;
  /** The first of the segments. */
  readonly differences: readonly SegmentDifference[];
  /** The first of the groups. */
  readonly largeObjectDifferences: readonly LargeObjectRange[];
}

/** In a receipt: what became of the large objects, in objects. */
export interface LargeObjectReading {
  readonly takenOverCount: number;
  /** Why the others were read, and how many for each reason. */
  readonly readBecause: Readonly<Record<string, number>>;
}

/** What the wait for WAL summaries cost. */
export interface WaitFacts {
  readonly beforeReadingMs: number;
  readonly afterReadingMs: number;
  readonly isCheckpointMade: boolean;
}

/** In a receipt: what was read and what was taken over from the parent without being read. */
export interface ReadingFacts {
  readonly readSegmentCount: number;
  readonly takenOverSegmentCount: number;
  /** Read because what the parent has of them is missing, damaged or about to be pruned. */
  readonly notReusableSegmentCount: number;
  /** Plain text. */
  readonly readRawBytes: number;
  readonly takenOverRawBytes: number;
  /** Why everything was read; null: something was taken over, or could have been. */
  readonly allReadBecause: string | null;
  /** Null: there are none. */
  readonly largeObjects: LargeObjectReading | null;
  readonly waited: WaitFacts;
  /** Why the next run cannot take anything over from this restore point; null: it can. */
  readonly noParentBecause: string | null;
  /** Null: nothing was compared. */
  readonly selfCheck: SelfCheckFacts | null;
  /** Null: it was not asked for. */
  readonly explanation: Explanation | null;
}

/** One relation in an explanation. */
export interface ExplainedRelation {
  readonly name: string;
  readonly segmentCount: number;
  readonly takenOverCount: number;
  /** Plain text of what was read. */
  readonly readRawBytes: number;
  /** Why the others were read, and how many segments for each reason. */
  readonly readBecause: Readonly<Record<string, number>>;
}

/** Why segments were read or taken over. LSNs as PostgreSQL prints them. */
export interface Explanation {
  readonly timeline: number | null;
  readonly snapshotLsn: string | null;
  /** Of this restore point. */
  readonly baseLsn: string | null;
  readonly sealLsn: string | null;
  readonly parent: { readonly id: string; readonly baseLsn: string | null; readonly sealLsn: string | null } | null;
  /** WAL whose summaries were asked; null: none were. */
  readonly coverage: { readonly fromLsn: string; readonly toLsn: string; readonly summaryCount: number } | null;
  /** The oldest transaction that holds the base back; null: none does. */
  readonly heldBackBy: string | null;
  readonly runsSinceFullRead: number;
  /** Those of which most was read first. */
  readonly relations: readonly ExplainedRelation[];
  /** Relations beyond the limit. */
  readonly moreRelationCount: number;
}
