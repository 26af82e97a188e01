// `cairn list`: restore points, newest first.

import type { OrphanPack, RestorePointMarks, RestorePointSummary, SeenRun } from "../../repository/index.ts";
import { warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { ListedRestorePoint, ListResult, ListSettings } from "./types.ts";

const PACKS_NAMED_MAX = 20;

/** Lists restore points, and what dead runs left behind. */
export async function runList(context: OperationContext, settings: ListSettings): Promise<ListResult> {
  const { signal } = context;
  await using repository = await openRepositoryAt(settings.repository, { listsAhead: true });
  const { leftovers, restorePoints: summaries } = await repository.overview({
    signal,
    ...(settings.lineage === null ? {} : { lineageName: settings.lineage }),
    onDamage: (name, error) =>
      warn(context, { message: `manifest ${name} cannot be read: ${error.message}`, hint: error.hint }),
  });
  const ids = summaries.map(({ id }) => id);
  const marks = await repository.marks(ids, signal);
  const restorePoints = summaries.map((summary) => describeRestorePoint(summary, marks.get(summary.id)));
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

/** What list and show say of a restore point. `marks`: undefined when it has none. */
export function describeRestorePoint(
  summary: RestorePointSummary,
  marks: RestorePointMarks | undefined,
): ListedRestorePoint {
  const { lastDrill = null, lastVerify = null, isHeld = false } = marks ?? {};
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
    verifiedAt: lastVerify?.at ?? null,
    isDamaged: lastVerify?.isWhole === false,
    drilledAt: lastDrill?.at ?? null,
    drillOutcome: lastDrill?.outcome ?? null,
    isHeld,
    copiedFrom: summary.copiedFrom ?? null,
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
