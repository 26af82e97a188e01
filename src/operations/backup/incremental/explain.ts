// Tells why each segment was read or taken over. Sorted and bounded: what was read most stands first.

import { isOperatingError } from "../../../base/errors.ts";
import type { TablePlan } from "../../../dump/index.ts";
import { formatLsn, type IncrementalRecord, type RelationVerdict } from "../../../incremental/index.ts";
import { openSession } from "../../../postgres/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { RepositorySink } from "../repository-sink.ts";
import type { ReadingParts, ReadingPlan } from "./plan-reading.ts";
import type { ExplainedRelation, Explanation } from "./types.ts";

const RELATIONS_EXPLAINED_MAX = 1000;

interface Explaining extends ReadingParts {
  readonly plan: ReadingPlan;
  readonly sink: RepositorySink;
  /** Of this run; null: none. */
  readonly record: IncrementalRecord | null;
  readonly unstable: ReadonlySet<number>;
  /** False: whether tables changed while they were read could not be found out, and all count as unstable. */
  readonly isStabilityKnown: boolean;
}

/** Explains a run that has read everything it reads. */
export async function explain(context: OperationContext, explaining: Explaining): Promise<Explanation> {
  const { dump, plan, record, sink } = explaining;
  const { parent, server, judgement } = plan;
  const readRawBytes = sink.readRawBytes();
  const relations = dump.tables
    .map((table) => ({ ...explainTable(table, explaining), readRawBytes: readRawBytes.get(table.dumpId) ?? 0 }))
    .toSorted((one, other) => {
      const difference = other.segmentCount - other.takenOverCount - (one.segmentCount - one.takenOverCount);
      return difference !== 0 ? difference : Number(one.name > other.name) - Number(one.name < other.name);
    });
  const { verdict } = judgement ?? {};
  return {
    timeline: server?.position.timeline ?? null,
    snapshotLsn: lsnText(server?.position.snapshotLsn),
    baseLsn: lsnText(record?.baseLsn),
    sealLsn: lsnText(record?.sealLsn),
    parent:
      parent.restorePoint === null
        ? null
        : {
            id: parent.restorePoint.id,
            baseLsn: lsnText(parent.record?.baseLsn),
            sealLsn: lsnText(parent.record?.sealLsn),
          },
    coverage:
      verdict === undefined
        ? null
        : {
            fromLsn: formatLsn(verdict.fromLsn),
            toLsn: formatLsn(verdict.toLsn),
            summaryCount: verdict.summaries.length,
          },
    heldBackBy: await findHolder(context, explaining),
    runsSinceFullRead: record?.runsSinceFullRead ?? 0,
    relations: relations.slice(0, RELATIONS_EXPLAINED_MAX),
    moreRelationCount: Math.max(0, relations.length - RELATIONS_EXPLAINED_MAX),
  };
}

function lsnText(lsn: bigint | null | undefined): string | null {
  return lsn === null || lsn === undefined ? null : formatLsn(lsn);
}

function explainTable(
  table: TablePlan,
  { plan, sink, unstable, isStabilityKnown }: Explaining,
): Omit<ExplainedRelation, "readRawBytes"> {
  const { dumpId, relation, segments } = table;
  const takenOverCount = sink.takenOverOf(table);
  const common = { name: `${relation.namespace}.${relation.name}`, segmentCount: segments.length, takenOverCount };
  if (plan.allReadBecause !== null) return { ...common, readBecause: { "everything is read": segments.length } };
  if (unstable.has(dumpId)) {
    const why = isStabilityKnown ? "it changed" : "it could not be found out whether it changed";
    return { ...common, readBecause: { [`${why} while it was read`]: segments.length } };
  }
  const verdict = plan.judgement?.relations.get(dumpId);
  const readBecause = reasonsOf(verdict, segments.length);
  const named = Object.values(readBecause).reduce((sum, count) => sum + count, 0);
  const other = segments.length - takenOverCount - named;
  const otherReason = plan.isCompared ? "to be compared" : "what the parent has of it cannot be taken over";
  return { ...common, readBecause: other > 0 ? { ...readBecause, [otherReason]: other } : readBecause };
}

function reasonsOf(verdict: RelationVerdict | undefined, segmentCount: number): Record<string, number> {
  if (verdict === undefined) return {};
  if (verdict.kind === "read-all") return { [verdict.reason]: segmentCount };
  const counts: Record<string, number> = {};
  for (const reason of verdict.readSegments.values()) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

const HOLDER_QUERY = `
SELECT * FROM (
  SELECT pg_catalog.concat('a session of database ', coalesce(datname::pg_catalog.text, '-'), ', pid ', pid, ', role ', usename,
           ', in a transaction since ', pg_catalog.to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ' UTC') AS who,
         pg_catalog.age(backend_xid) AS age
    FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL
  UNION ALL
  SELECT pg_catalog.concat('the prepared transaction "', gid, '" of database ', database, ', prepared ',
           pg_catalog.to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ' UTC'),
         pg_catalog.age(transaction)
    FROM pg_catalog.pg_prepared_xacts) AS holders
 ORDER BY age DESC LIMIT 1`;

/** Who keeps the last checkpoint from being the base: the oldest transaction that has an xid. */
async function findHolder(context: OperationContext, { plan, source }: Explaining): Promise<string | null> {
  const { server } = plan;
  if (server === null || server.checkpoints.at(-1)!.nextXid <= server.position.xmin) return null;
  const gone = "a transaction that has ended meanwhile, or that this role may not see";
  const { signal } = context;
  try {
    await using session = await openSession(source.settings, { signal, applicationName: "cairn" });
    const { rows } = await session.query(HOLDER_QUERY, { signal });
    return rows[0]?.[0] ?? gone;
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error)) throw error;
    return gone;
  }
}
