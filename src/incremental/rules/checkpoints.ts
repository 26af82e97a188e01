// Checkpoint records: which one is the base of a restore point, and which of them later runs may still need.
// A checkpoint fixes its redo point first and reads nextXid afterwards, so whatever stands in a block by WAL from before
// redo has an xid below nextXid. Where that is not above xmin, all of it had ended when the snapshot was taken.
// Source: docs/formats/incremental.md; xlog.c, CreateCheckPoint.

import type { CheckpointRecord, IncrementalRecord, ServerPosition, WalSummary } from "../types.ts";
import { historyBreak } from "./history.ts";

/** So many checkpoint records are carried on at most. More come together only while a transaction stays open for that many runs. */
export const CHECKPOINT_COUNT_MAX = 256;

type Snapshot = Pick<ServerPosition, "timeline" | "xmin" | "snapshotLsn">;

/** The base: the highest redo LSN whose checkpoint is of the snapshot's past; null when none of them is. */
export function chooseBase(checkpoints: readonly CheckpointRecord[], position: Snapshot): bigint | null {
  let base: bigint | null = null;
  for (const { timeline, redoLsn, nextXid } of checkpoints) {
    const isPast = timeline === position.timeline && nextXid <= position.xmin && redoLsn <= position.snapshotLsn;
    if (isPast && (base === null || redoLsn > base)) base = redoLsn;
  }
  return base;
}

/**
 * What the new restore point records: the parent's records and its own, in the order of their LSNs, without those that no
 * later run can need: xmin only grows, so what is older than the base now will never be a base again.
 * `parentRecords` are `provenCheckpoints()`, and what else the run noted before `ownRecord`, its newest.
 */
export function carryCheckpoints(
  parentRecords: readonly CheckpointRecord[],
  ownRecord: CheckpointRecord,
  position: Snapshot,
): CheckpointRecord[] {
  const known = [...parentRecords, ownRecord];
  const base = chooseBase(known, position) ?? 0n;
  const needed = new Map<string, CheckpointRecord>();
  for (const record of known) {
    const { timeline, redoLsn, nextXid } = record;
    const isNeeded = timeline === position.timeline && redoLsn >= base && redoLsn <= position.snapshotLsn;
    if (isNeeded) needed.set(`${redoLsn} ${nextXid}`, record);
  }
  return limited([...needed.values()].toSorted(byAge));
}

/**
 * The parent's checkpoint records where the server still lives in the history that they are of, else none: a data directory that was
 * put back gives the same LSNs and xids out again, with other contents.
 */
export function provenCheckpoints(
  parent: IncrementalRecord | null,
  position: ServerPosition,
  summaries: readonly WalSummary[],
): readonly CheckpointRecord[] {
  return parent === null || historyBreak(parent, position, summaries) !== null ? [] : parent.checkpoints;
}

function byAge(one: CheckpointRecord, other: CheckpointRecord): number {
  const difference = one.redoLsn === other.redoLsn ? one.nextXid - other.nextXid : one.redoLsn - other.redoLsn;
  return difference < 0n ? -1 : Number(difference > 0n);
}

/** Any may be left out: the base is then lower or none, and more is read. The oldest is the base, or will be the first to be one. */
function limited(oldestFirst: readonly CheckpointRecord[]): CheckpointRecord[] {
  if (oldestFirst.length <= CHECKPOINT_COUNT_MAX) return [...oldestFirst];
  return [oldestFirst[0]!, ...oldestFirst.slice(1 - CHECKPOINT_COUNT_MAX)];
}
