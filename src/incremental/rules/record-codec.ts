// What a manifest holds for incremental reading, as JSON: 64-bit numbers are decimal strings, LSNs as PostgreSQL prints them.
// The record is checked for sense before it is written and after it is read; what is not understood is null, so the next run
// reads everything. Source: docs/formats/incremental.md.

import { assert } from "../../base/assert.ts";
import type { CheckpointRecord, IncrementalRecord, RelationShape, ServerPosition, TextShape } from "../types.ts";
import { CHECKPOINT_COUNT_MAX, chooseBase } from "./checkpoints.ts";
import { formatLsn, parseLsn } from "./lsn.ts";

const U32_MAX = 0xffff_ffff;
const XID_MAX = 2n ** 64n - 1n;
const SETTING_COUNT_MAX = 64;
const FLAG_COUNT_MAX = 100_000;
const TEXT_LENGTH_MAX = 8192;

type EncodedCheckpoint = { readonly timeline: number; readonly redoLsn: string; readonly nextXid: string };

/** An IncrementalRecord as JSON holds it. */
export type EncodedIncremental = {
  readonly position: Readonly<Record<"systemIdentifier" | "hostRole" | "postmasterStartedAt", string>> &
    Readonly<Record<"xmin" | "xmax" | "snapshotLsn", string>> &
    Readonly<Record<"databaseOid" | "timeline" | "serverVersionNum", number>>;
  readonly text: {
    readonly settings: Readonly<Record<string, string>>;
    readonly selection: readonly string[];
    readonly segmentBlockCount: number;
    readonly readerVersion: number;
  };
  readonly checkpoints: readonly EncodedCheckpoint[];
  readonly baseLsn: string | null;
  readonly sealLsn: string | null;
  readonly summaryDigest: string | null;
  readonly largeObjects: Readonly<Record<keyof RelationShape, string | number | boolean | null>> | null;
  readonly runsSinceFullRead: number;
  readonly distrustedBecause: string | null;
};

/** The JSON of a record. */
export function encodeIncremental(record: IncrementalRecord): EncodedIncremental {
  assert(isConsistent(record), "base and seal follow from the checkpoint records and the snapshot's LSN");
  const { position, text, checkpoints, baseLsn, sealLsn, summaryDigest, largeObjects } = record;
  const { runsSinceFullRead, distrustedBecause } = record;
  const { systemIdentifier, databaseOid, timeline, hostRole, postmasterStartedAt, serverVersionNum } = position;
  const facts = { systemIdentifier, databaseOid, timeline, hostRole, postmasterStartedAt, serverVersionNum };
  const { xmin, xmax, snapshotLsn } = position;
  const snapshot = { xmin: String(xmin), xmax: String(xmax), snapshotLsn: formatLsn(snapshotLsn) };
  const { settings, selection, segmentBlockCount, readerVersion } = text;
  return {
    position: { ...facts, ...snapshot },
    text: { settings: { ...settings }, selection: [...selection], segmentBlockCount, readerVersion },
    checkpoints: checkpoints.map((one) => {
      return { timeline: one.timeline, redoLsn: formatLsn(one.redoLsn), nextXid: String(one.nextXid) };
    }),
    baseLsn: baseLsn === null ? null : formatLsn(baseLsn),
    sealLsn: sealLsn === null ? null : formatLsn(sealLsn),
    summaryDigest,
    largeObjects: largeObjects === null ? null : { ...largeObjects },
    runsSinceFullRead,
    distrustedBecause,
  };
}

/** The record of a manifest's JSON; null when there is none, or one that makes no sense. */
export function decodeIncremental(json: unknown): IncrementalRecord | null {
  if (!isObject(json)) return null;
  const { position, text, checkpoints, summaryDigest, runsSinceFullRead, distrustedBecause } = json;
  const [baseLsn, sealLsn] = [json["baseLsn"], json["sealLsn"]].map((lsn) => (lsn === null ? null : lsnOf(lsn)));
  const known = {
    position: positionOf(position),
    text: textOf(text),
    checkpoints: checkpointsOf(checkpoints),
    baseLsn,
    sealLsn,
    summaryDigest: isNullOr(isHash, summaryDigest) ? summaryDigest : undefined,
    largeObjects: largeObjectsOf(json["largeObjects"]),
    runsSinceFullRead: isCount(runsSinceFullRead) ? runsSinceFullRead : undefined,
    distrustedBecause: isNullOr(isText, distrustedBecause) ? distrustedBecause : undefined,
  };
  if (Object.values(known).includes(undefined)) return null;
  const record = known as IncrementalRecord;
  return isConsistent(record) ? record : null;
}

/** A relation's shape as a manifest holds it (it is JSON as it is); null when it is none. */
export function decodeRelationShape(json: unknown): RelationShape | null {
  if (!isObject(json)) return null;
  const { oid, tablespaceOid, filenode, persistence, accessMethod, blockCount } = json;
  const { columnFingerprint, typeFingerprint, alwaysReadBecause, isStable } = json;
  const isRight =
    [oid, tablespaceOid, filenode, blockCount].every(isU32) &&
    [columnFingerprint, typeFingerprint].every(isHash) &&
    isText(persistence) &&
    isNullOr(isText, accessMethod) &&
    isNullOr(isText, alwaysReadBecause) &&
    typeof isStable === "boolean";
  if (!isRight) return null;
  const file = { oid, tablespaceOid, filenode, persistence, accessMethod, blockCount };
  return { ...file, columnFingerprint, typeFingerprint, alwaysReadBecause, isStable } as RelationShape;
}

/** Left out by earlier versions. */
function largeObjectsOf(json: unknown): RelationShape | null | undefined {
  return json === null || json === undefined ? null : (decodeRelationShape(json) ?? undefined);
}

function isConsistent({ position, checkpoints, baseLsn, sealLsn, summaryDigest }: IncrementalRecord): boolean {
  return (
    checkpoints.length <= CHECKPOINT_COUNT_MAX &&
    position.xmin <= position.xmax &&
    baseLsn === chooseBase(checkpoints, position) &&
    (sealLsn === null || sealLsn >= position.snapshotLsn) &&
    (summaryDigest === null || (sealLsn !== null && baseLsn !== null))
  );
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isU32 = (value: unknown): value is number => isCount(value) && value <= U32_MAX;
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= TEXT_LENGTH_MAX;
const isHash = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

function isNullOr<T>(isRight: (value: unknown) => value is T, value: unknown): value is T | null {
  return value === null || isRight(value);
}

function lsnOf(json: unknown): bigint | undefined {
  return typeof json === "string" ? (parseLsn(json) ?? undefined) : undefined;
}

function u64Of(json: unknown): bigint | undefined {
  if (typeof json !== "string" || !/^(0|[1-9][0-9]{0,19})$/.test(json)) return undefined;
  const value = BigInt(json);
  return value <= XID_MAX ? value : undefined;
}

function positionOf(json: unknown): ServerPosition | undefined {
  if (!isObject(json)) return undefined;
  const { systemIdentifier, databaseOid, timeline, hostRole, postmasterStartedAt, serverVersionNum } = json;
  const snapshot = { xmin: u64Of(json["xmin"]), xmax: u64Of(json["xmax"]), snapshotLsn: lsnOf(json["snapshotLsn"]) };
  const isRight =
    u64Of(systemIdentifier) !== undefined &&
    [databaseOid, timeline, serverVersionNum].every(isU32) &&
    (hostRole === "primary" || hostRole === "standby") &&
    isText(postmasterStartedAt) &&
    !Object.values(snapshot).includes(undefined);
  if (!isRight) return undefined;
  const facts = { systemIdentifier, databaseOid, timeline, hostRole, postmasterStartedAt, serverVersionNum };
  return { ...facts, ...snapshot } as ServerPosition;
}

function textOf(json: unknown): TextShape | undefined {
  if (!isObject(json) || !isObject(json["settings"])) return undefined;
  const { settings, selection, segmentBlockCount, readerVersion } = json;
  const entries = Object.entries(settings as object);
  const isRight =
    entries.length <= SETTING_COUNT_MAX &&
    entries.flat().every(isText) &&
    Array.isArray(selection) &&
    selection.length <= FLAG_COUNT_MAX &&
    selection.every(isText) &&
    isU32(segmentBlockCount) &&
    segmentBlockCount > 0 &&
    isU32(readerVersion);
  if (!isRight) return undefined;
  return { settings: Object.fromEntries(entries), selection, segmentBlockCount, readerVersion };
}

function checkpointsOf(json: unknown): readonly CheckpointRecord[] | undefined {
  if (!Array.isArray(json) || json.length > CHECKPOINT_COUNT_MAX) return undefined;
  const records = json.map((one: unknown) => {
    if (!isObject(one) || !isU32(one["timeline"])) return undefined;
    return { timeline: one["timeline"], redoLsn: lsnOf(one["redoLsn"]), nextXid: u64Of(one["nextXid"]) };
  });
  const isRight = records.every((one) => one !== undefined && !Object.values(one).includes(undefined));
  return isRight ? (records as CheckpointRecord[]) : undefined;
}
