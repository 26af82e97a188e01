// `cairn hold`: keeps a restore point from being expired. `cairn release`: lets it go again.

import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { HoldReport, HoldSettings, ReleaseReport, ReleaseSettings } from "./types.ts";

/** Holds a restore point; it is held when this returns. */
export async function runHold(context: OperationContext, settings: HoldSettings): Promise<HoldReport> {
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  return await repository.hold(id, settings.reason, context.signal);
}

/** Takes all holds of a restore point away. */
export async function runRelease(context: OperationContext, settings: ReleaseSettings): Promise<ReleaseReport> {
  await using repository = await openRepositoryAt(settings.repository);
  const restorePointId = await repository.resolve(settings.reference, context.signal);
  return { restorePointId, releasedCount: await repository.release(restorePointId, context.signal) };
}
