// `cairn verify`: reads back and authenticates every byte that a restore point refers to.

import type { Damage } from "../../repository/index.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { VerifyReport, VerifySettings } from "./types.ts";

const PROGRESS_INTERVAL_MS = 200;

/** Verifies one restore point; what is damaged is in the report, and marked so that later backups store it anew. */
export async function runVerify(context: OperationContext, settings: VerifySettings): Promise<VerifyReport> {
  const startedAtMs = performance.now();
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openRestorePoint(id, context.signal);
  beginPhase(context, "verify", `reading back every byte of ${id}`);
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
    restorePointId: id,
    isIntact: result.isWhole,
    chunkCount: result.chunkCount,
    bytesRead: result.sealedBytes,
    rawBytes: result.rawBytes,
    rowCount: restorePoint.manifest.totals.rows,
    durationMs: Math.round(performance.now() - startedAtMs),
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
