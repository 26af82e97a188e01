// `cairn verify`: reads back and authenticates every byte that a restore point refers to.

import { isOperatingError } from "../../base/errors.ts";
import type { ClusterMember, Damage, Repository, RestorePoint } from "../../repository/index.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { VerifyReport, VerifySettings } from "./types.ts";

const PROGRESS_INTERVAL_MS = 200;

/**
 * Verifies a restore point, and those that it names if it is a whole server's; what is damaged is in the report, and
 * marked so that later backups store it anew.
 */
export async function runVerify(context: OperationContext, settings: VerifySettings): Promise<VerifyReport> {
  const startedAtMs = performance.now();
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openToJudge(id, context.signal);
  const parts = [await verifyOne(context, repository, restorePoint)];
  for (const member of restorePoint.manifest.cluster?.members ?? []) {
    if (member.restorePointId !== null) parts.push(await verifyMember(context, repository, member));
  }
  const sum = (valueOf: (part: Verified) => number): number => parts.reduce((total, part) => total + valueOf(part), 0);
  return {
    restorePointId: id,
    isIntact: parts.every(({ isIntact }) => isIntact),
    chunkCount: sum(({ chunkCount }) => chunkCount),
    bytesRead: sum(({ bytesRead }) => bytesRead),
    rawBytes: sum(({ rawBytes }) => rawBytes),
    rowCount: sum(({ rowCount }) => rowCount),
    durationMs: Math.round(performance.now() - startedAtMs),
    damage: parts.flatMap(({ damage }) => damage),
  };
}

type Verified = Omit<VerifyReport, "restorePointId" | "durationMs">;

async function verifyMember(
  context: OperationContext,
  repository: Repository,
  { databaseName, restorePointId }: ClusterMember,
): Promise<Verified> {
  const id = restorePointId ?? "";
  try {
    return await verifyOne(context, repository, await repository.openToJudge(id, context.signal));
  } catch (error) {
    const isGone = isOperatingError(error, "restore_point_not_found") || isOperatingError(error, "corrupt");
    if (!isGone) throw error;
    const damage = [{ object: `restore point ${id} of database "${databaseName}"`, reason: error.message, tables: [] }];
    return { isIntact: false, chunkCount: 0, bytesRead: 0, rawBytes: 0, rowCount: 0, damage };
  }
}

async function verifyOne(
  context: OperationContext,
  repository: Repository,
  restorePoint: RestorePoint,
): Promise<Verified> {
  beginPhase(context, "verify", `reading back every byte of ${restorePoint.id}`);
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  const result = await repository.verifyRestorePoint(restorePoint, {
    signal: context.signal,
    onProgress: ({ chunkCount, chunkTotal, sealedBytes, sealedTotalBytes }) => {
      const nowMs = performance.now();
      if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS && chunkCount < chunkTotal) return;
      reportedAtMs = nowMs;
      const fractionDone = sealedTotalBytes === 0 ? 1 : sealedBytes / sealedTotalBytes;
      const progress = {
        rawBytes: 0,
        storedBytes: sealedBytes,
        rowCount: 0,
        fractionDone,
        tablesDone: 0,
        tablesTotal: 0,
      };
      context.onEvent({ type: "progress", progress });
    },
  });
  if (!result.isMarked) {
    warn(context, {
      message: "the result could not be noted in the repository, which may only be read",
      hint: "Verify with the right to write, so that the next backup stores anew what was found damaged.",
    });
  }
  return {
    isIntact: result.isWhole,
    chunkCount: result.chunkCount,
    bytesRead: result.sealedBytes,
    rawBytes: result.rawBytes,
    rowCount: restorePoint.manifest.totals.rows,
    damage: groupDamage(result.damage),
  };
}

/** One line for each damaged place, with all tables that it touches. */
function groupDamage(damage: readonly Damage[]): VerifyReport["damage"] {
  const places = Map.groupBy(damage, ({ pack, itemNumber }) => JSON.stringify([pack, itemNumber]));
  return [...places.values()].map((found) => {
    const { pack, itemNumber, reason } = found[0]!;
    const object = itemNumber === null ? `pack ${pack}` : `item ${itemNumber} of pack ${pack}`;
    // A pack as a whole touches what its damaged items touch.
    const touching = itemNumber === null ? damage.filter((one) => one.pack === pack) : found;
    return { object, reason, tables: [...new Set(touching.flatMap(({ relation }) => relation ?? []))] };
  });
}
