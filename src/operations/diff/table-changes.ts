// Which segments of which tables are not the same in two restore points, by the ids of their chunks: equal ids are equal
// contents. Lists are streamed; a list that both share is not read at all. No chunk is read.

import { createHash } from "node:crypto";
import type { LargeObjectSet, RelationRecord, RestorePoint, SegmentRecord } from "../../repository/index.ts";
import type { TableChange } from "./types.ts";

/** Compares the tables of two restore points. */
export async function tableChanges(
  before: RestorePoint,
  after: RestorePoint,
  signal: AbortSignal,
): Promise<{ readonly changes: readonly TableChange[]; readonly unchangedCount: number }> {
  const changes: TableChange[] = [];
  let unchangedCount = 0;
  for (const [old, young] of pairs(before, after)) {
    const change = await tableChange({ point: before, relation: old }, { point: after, relation: young }, signal);
    if (change === null) unchangedCount += 1;
    else changes.push(change);
  }
  return { changes, unchangedCount };
}

/** Tables of the same name, then of the same oid where both are of one database; what is left has no partner. */
function pairs(before: RestorePoint, after: RestorePoint): [RelationRecord | null, RelationRecord | null][] {
  const left = new Map(before.manifest.relations.map((relation) => [nameOf(relation), relation]));
  const found: [RelationRecord | null, RelationRecord | null][] = [];
  const alone: RelationRecord[] = [];
  for (const relation of after.manifest.relations) {
    const partner = left.get(nameOf(relation));
    if (partner === undefined) alone.push(relation);
    else found.push([partner, relation]);
    left.delete(nameOf(relation));
  }
  const byOid = new Map([...left.values()].map((relation) => [relation.oid, relation]));
  for (const relation of alone) {
    const partner = isSameDatabase(before, after) ? byOid.get(relation.oid) : undefined;
    found.push([partner ?? null, relation]);
    if (partner !== undefined) left.delete(nameOf(partner));
  }
  return [...found, ...[...left.values()].map((relation): [RelationRecord, null] => [relation, null])];
}

function isSameDatabase(
  { manifest: { lineage: one } }: RestorePoint,
  { manifest: { lineage: other } }: RestorePoint,
): boolean {
  return one.systemIdentifier === other.systemIdentifier && one.databaseOid === other.databaseOid;
}

interface Side {
  readonly point: RestorePoint;
  readonly relation: RelationRecord | null;
}

async function tableChange(before: Side, after: Side, signal: AbortSignal): Promise<TableChange | null> {
  const [old, young] = [before.relation, after.relation];
  const isRenamed = old !== null && young !== null && nameOf(old) !== nameOf(young);
  const name = isRenamed ? `${nameOf(old)} → ${nameOf(young)}` : nameOf((young ?? old)!);
  const amounts = { before: amountOf(old), after: amountOf(young) };
  if (old !== null && young !== null && isSameList(before.point, after.point, old, young))
    return isRenamed ? { name, ...amounts, segmentsTouched: 0, segmentCount: 0 } : null;
  const { touched, count } = await compareSegments(segmentIds(before, signal), segmentIds(after, signal));
  if (touched === 0 && old !== null && young !== null && !isRenamed) return null;
  return { name, ...amounts, segmentsTouched: touched, segmentCount: count };
}

function amountOf(relation: RelationRecord | null): TableChange["before"] {
  return relation === null ? null : { rowCount: relation.rowCount, rawBytes: relation.rawBytes };
}

function nameOf({ namespace, name }: RelationRecord): string {
  return `${namespace}.${name}`;
}

/** True when both refer to the same bytes of the same pages. */
function isSameList(
  before: RestorePoint,
  after: RestorePoint,
  one: RelationRecord | LargeObjectSet,
  other: RelationRecord | LargeObjectSet,
): boolean {
  return JSON.stringify(placesOf(before, one)) === JSON.stringify(placesOf(after, other));
}

function placesOf({ manifest }: RestorePoint, { list }: RelationRecord | LargeObjectSet): unknown[] {
  return list.map(([pageIndex, offset, length]) => {
    const [packIndex, itemNumber] = manifest.pages[pageIndex]!;
    return [manifest.packs[packIndex]![0], itemNumber, offset, length];
  });
}

interface SegmentId {
  readonly firstBlock: number;
  /** A hash of its chunks' ids. */
  readonly digest: string;
}

/** The segments of a relation, records of one segment put together; an empty one is none. */
async function* segmentIds({ point, relation }: Side, signal: AbortSignal): AsyncGenerator<SegmentId> {
  if (relation === null) return;
  let open: { firstBlock: number; chunkCount: number; hash: ReturnType<typeof createHash> } | null = null;
  const closed = (segment: NonNullable<typeof open>): SegmentId[] =>
    segment.chunkCount === 0 ? [] : [{ firstBlock: segment.firstBlock, digest: segment.hash.digest("hex") }];
  for await (const record of point.segments(relation, signal)) {
    if (open === null || record.continuesPrevious !== true) {
      if (open !== null) yield* closed(open);
      open = { firstBlock: record.firstBlock, chunkCount: 0, hash: createHash("sha256") };
    }
    addChunks(open.hash, record);
    open.chunkCount += record.chunks.length;
  }
  if (open !== null) yield* closed(open);
}

function addChunks(hash: ReturnType<typeof createHash>, { chunks }: SegmentRecord): void {
  for (const { id } of chunks) hash.update(id);
}

/** Merges both by their first blocks, which ascend. */
async function compareSegments(
  before: AsyncGenerator<SegmentId>,
  after: AsyncGenerator<SegmentId>,
): Promise<{ readonly touched: number; readonly count: number }> {
  let [touched, count] = [0, 0];
  let [old, young] = [await before.next(), await after.next()];
  while (old.done !== true || young.done !== true) {
    const oldBlock = old.done === true ? Number.POSITIVE_INFINITY : old.value.firstBlock;
    const youngBlock = young.done === true ? Number.POSITIVE_INFINITY : young.value.firstBlock;
    const isBoth = oldBlock === youngBlock;
    if (!isBoth || old.value!.digest !== young.value!.digest) touched += 1;
    count += 1;
    if (oldBlock <= youngBlock) old = await before.next();
    if (youngBlock <= oldBlock) young = await after.next();
  }
  return { touched, count };
}

/** True when any large object was added, removed or changed. */
export async function areLargeObjectsChanged(
  before: RestorePoint,
  after: RestorePoint,
  signal: AbortSignal,
): Promise<boolean> {
  const [old, young] = [before.manifest.largeObjects, after.manifest.largeObjects];
  const isSame =
    old.length === young.length && old.every((set, index) => isSameList(before, after, set, young[index]!));
  if (isSame) return false;
  const digests = await Promise.all([digestOfObjects(before, signal), digestOfObjects(after, signal)]);
  return digests[0] !== digests[1];
}

/** A hash over every large object: its OID, length and where its contents are told by ids. */
async function digestOfObjects(point: RestorePoint, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (const set of point.manifest.largeObjects) {
    for await (const record of point.largeObjects(set, signal)) {
      const objects = record.kind === "own" ? [{ oid: record.oid, lengthBytes: record.lengthBytes }] : record.objects;
      for (const { oid, lengthBytes } of objects) hash.update(`${oid} ${lengthBytes}\n`);
      for (const { id } of record.kind === "own" ? record.chunks : [record.chunk]) hash.update(id);
    }
  }
  return hash.digest("hex");
}
