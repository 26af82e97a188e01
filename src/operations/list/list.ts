// `cairn list`: restore points, newest first.

import type { OrphanPack, Repository, RestorePointSummary, SeenRun } from "../../repository/index.ts";
import { warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { ListedRestorePoint, ListResult, ListSettings } from "./types.ts";

const PACKS_NAMED_MAX = 20;

/** Lists restore points, and what dead runs left behind. */
export async function runList(context: OperationContext, settings: ListSettings): Promise<ListResult> {
  const { signal } = context;
  await using repository = await openRepositoryAt(settings.repository);
  const summaries = await repository.restorePoints({
    signal,
    ...(settings.lineage === null ? {} : { lineageName: settings.lineage }),
    onDamage: (name, error) =>
      warn(context, { message: `manifest ${name} cannot be read: ${error.message}`, hint: error.hint }),
  });
  const restorePoints = await Promise.all(
    summaries.map((summary) => describeRestorePoint(repository, summary, signal)),
  );
  const leftovers = await repository.leftovers(signal);
  if (leftovers.unfinished === null) {
    warn(context, {
      message: "unfinished uploads were not looked at: the storage does not allow it",
      hint: "Allow s3:ListBucketMultipartUploads on the bucket to see them.",
    });
  }
  return {
    restorePoints,
    leftovers: [
      ...leftovers.runs.map(describeRun),
      ...describePacks(leftovers.packs),
      ...(leftovers.unfinished ?? []).map(({ name }) => name),
    ],
  };
}

/** The first by name; after an expire there may be thousands. */
function describePacks(packs: readonly OrphanPack[]): string[] {
  const named = packs.slice(0, PACKS_NAMED_MAX).map(({ objectName, runId }) => `${objectName} (run ${runId})`);
  return packs.length > named.length ? [...named, `and ${packs.length - named.length} more packs`] : named;
}

function describeRun({ runId, record, state }: SeenRun): string {
  const begun = record === null ? "" : `, begun at ${record.startedAt} on "${record.hostName}"`;
  return `runs/${runId} (${state === "dead" ? "dead" : "perhaps dead"}${begun})`;
}

/** What list and show say of a restore point. */
export async function describeRestorePoint(
  repository: Repository,
  summary: RestorePointSummary,
  signal: AbortSignal,
): Promise<ListedRestorePoint> {
  const last = (await repository.verifies(summary.id, signal)).at(-1);
  const lastDrill = (await repository.drills(summary.id, signal)).at(-1);
  const { cluster } = summary;
  const sums = sumsOf(summary);
  return {
    id: summary.id,
    lineage: summary.lineage.name,
    databaseName: summary.lineage.databaseName,
    serverVersion: summary.source.serverVersion,
    snapshotTakenAt: summary.snapshotAt,
    durationMs: new Date(summary.finishedAt).getTime() - new Date(summary.startedAt).getTime(),
    ...sums,
    tags: summary.tags,
    warningCount: summary.warnings.length,
    verifiedAt: last === undefined ? null : last.at,
    isDamaged: last?.isWhole === false,
    drilledAt: lastDrill?.at ?? null,
    drillOutcome: lastDrill?.outcome ?? null,
    isHeld: await repository.isHeld(summary.id, signal),
    cluster:
      cluster === undefined
        ? null
        : {
            databaseCount: cluster.members.length,
            failedDatabases: cluster.members.flatMap((member) => {
              return member.restorePointId === null ? member.databaseName : [];
            }),
          },
  };
}

/** Of a cluster restore point: of those that it names together. */
function sumsOf({
  totals,
  cluster,
}: RestorePointSummary): Pick<ListedRestorePoint, "rowCount" | "rawBytes" | "sealedBytes" | "newBytes"> {
  const { rows: rowCount, rawBytes, sealedBytes, newBytes } = totals;
  if (cluster === undefined) return { rowCount, rawBytes, sealedBytes, newBytes };
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    rowCount: sum(cluster.members.map((member) => member.rowCount)),
    rawBytes: sum(cluster.members.map((member) => member.rawBytes)),
    sealedBytes: sum(cluster.members.map((member) => member.sealedBytes)),
    newBytes: sum(cluster.members.map((member) => member.newBytes)),
  };
}
