// What a run may take over from its parent: the parent's record and the server's WAL summaries are held against the rules,
// then each relation. Any doubt reads everything, and says why.

import type { TablePlan } from "../../../dump/index.ts";
import {
  decodeIncremental,
  decodeRelationShape,
  digestSummaries,
  judgeDigest,
  judgeLargeObjects,
  judgeRelation,
  judgeRun,
  listSummaries,
  readTouched,
  touchedBlocks,
  type Answer,
  type FinerFile,
  type IncrementalRecord,
  type LargeObjectVerdict,
  type RelationShape,
  type RelationVerdict,
  type RunVerdict,
  type TouchedBlocks,
  type WalSummary,
} from "../../../incremental/index.ts";
import type { Session } from "../../../postgres/index.ts";
import type { RelationRecord, RestorePoint } from "../../../repository/index.ts";
import type { ServerView } from "./server-view.ts";

/** What is known of the parent before the server is asked for its summaries. */
export interface ParentView {
  readonly restorePoint: RestorePoint | null;
  /** Null: it has none. */
  readonly record: IncrementalRecord | null;
  /** Why nothing may be taken over from the lineage until a run with --full; null: it may. */
  readonly distrustedBecause: string | null;
}

/** Reads what the parent recorded. A distrust stands also where nothing else is recorded. */
export function viewParent(restorePoint: RestorePoint | null): ParentView {
  const json = restorePoint?.manifest.incremental ?? null;
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const distrust = isObject ? (json as Readonly<Record<string, unknown>>)["distrustedBecause"] : null;
  const distrustedBecause = typeof distrust === "string" ? distrust : null;
  return { restorePoint, record: decodeIncremental(json), distrustedBecause };
}

/** What was found out about the relations: for each what must be read. */
export interface Judgement {
  readonly verdict: RunVerdict & { readonly kind: "compare" };
  /** By dump id. */
  readonly relations: ReadonlyMap<number, RelationVerdict>;
  readonly largeObjects: LargeObjectVerdict;
}

/** Why it is of no use to wait for summaries, as far as that can be known now; null: they are all that is missing. */
export function objectionTo(
  record: IncrementalRecord,
  server: ServerView,
  summaries: readonly WalSummary[],
): string | null {
  const { snapshotLsn, timeline } = server.position;
  const own = summaries.filter((one) => one.timeline === timeline).map(({ endLsn }) => endLsn);
  const startLsn = own.reduce((highest, endLsn) => (endLsn > highest ? endLsn : highest), 0n);
  // As if the one that is waited for were there already.
  const awaited = startLsn >= snapshotLsn ? [] : [{ timeline, startLsn, endLsn: snapshotLsn }];
  const verdict = judgeRun(record, server, [...summaries, ...awaited]);
  return verdict.kind === "read-all" ? verdict.reason : null;
}

/** Judges run and relations by the summaries that the server has now. */
export async function judgeParent(
  session: Session,
  record: IncrementalRecord,
  judging: {
    readonly server: ServerView;
    readonly parent: RestorePoint;
    readonly tables: readonly TablePlan[];
    readonly signal: AbortSignal;
  },
): Promise<Answer<Judgement>> {
  const { server, parent, tables, signal } = judging;
  const { databaseOid, timeline } = server.position;
  const summaries = await listSummaries(session, timeline, signal);
  if (summaries.kind === "unknown") return summaries;
  const verdict = judgeRun(record, server, summaries.value);
  if (verdict.kind === "read-all") return { kind: "unknown", reason: verdict.reason };
  const digest = await digestSummaries(session, verdict.sealedSummaries, databaseOid, signal);
  if (digest.kind === "unknown") return digest;
  const doubt = judgeDigest(record, digest.value);
  if (doubt !== null) return { kind: "unknown", reason: doubt };
  const { segmentBlockCount } = server.text;
  const finer = finerFiles(tables, server);
  const files = await readTouched(session, verdict.summaries, { databaseOid, segmentBlockCount, finer, signal });
  if (files.kind === "unknown") return files;
  const touched = touchedBlocks(files.value);
  const relations = new Map(
    tables.map((table) => [table.dumpId, judgeTable(table, { server, parent, touched })] as const),
  );
  const largeObjects = judgeLargeObjects(record.largeObjects, server.largeObjects, touched, segmentBlockCount);
  return { kind: "known", value: { verdict, relations, largeObjects } };
}

function judgeTable(
  table: TablePlan,
  { server, parent, touched }: { server: ServerView; parent: RestorePoint; touched: TouchedBlocks },
): RelationVerdict {
  const { segmentBlockCount, relation } = table;
  const { oid, blockCount } = relation;
  const now = server.shapes.get(oid);
  if (now === undefined) return { kind: "read-all", reason: "the catalog does not show it" };
  const then = parent.findRelation({ oid });
  if (then === null) return { kind: "read-all", reason: "it is new since the parent" };
  const shape = shapeOf(then);
  if (shape === null) return { kind: "read-all", reason: "the parent did not record how it was stored" };
  if (then.segmentBlocks !== segmentBlockCount) {
    return {
      kind: "read-all",
      reason: `in segments of ${then.segmentBlocks} blocks then, of ${segmentBlockCount} now`,
    };
  }
  const isCut = table.segments.length === Math.max(1, Math.ceil(blockCount / segmentBlockCount));
  if (!isCut) return { kind: "read-all", reason: "it cannot be read by block range" };
  return judgeRelation(shape, now, touched, segmentBlockCount);
}

/** Files whose segments are smaller than those of tables with nothing beside their heap. */
function finerFiles(tables: readonly TablePlan[], { shapes, text }: ServerView): FinerFile[] {
  return tables.flatMap(({ relation, segmentBlockCount }) => {
    const shape = shapes.get(relation.oid);
    if (shape === undefined || segmentBlockCount === text.segmentBlockCount) return [];
    const { tablespaceOid, filenode } = shape;
    return [{ tablespaceOid, filenode, segmentBlockCount }];
  });
}

function shapeOf({ oid, blockCount, storage }: RelationRecord): RelationShape | null {
  if (storage === null) return null;
  const { accessMethod = null, alwaysReadBecause = null } = storage;
  return decodeRelationShape({ ...storage, oid, blockCount, accessMethod, alwaysReadBecause });
}
