// What could not be restored is read again as a verify reads it: damage in the repository is marked where it lies, so that the
// next backup stores it anew. A failure of another cause leaves no mark.

import type { EntryFailure } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { Drilling } from "./drilling.ts";

const PLACES_NAMED_MAX = 20;
const WITH_DATA = new Set(["TABLE DATA", "BLOBS"]);

/** Verifies the data of the entries that failed, and marks what is damaged. */
export async function markDamage(drilling: Drilling, failed: readonly EntryFailure[]): Promise<void> {
  const { context, contents, repository, timer, warnings } = drilling;
  const onlyDumpIds = new Set(failed.filter((one) => WITH_DATA.has(one.description)).map(({ dumpId }) => dumpId));
  if (onlyDumpIds.size === 0) return;
  timer.begin("verify", "verifying what could not be restored");
  const { signal } = context;
  const { damage, isMarked } = await repository.verifyRestorePoint(contents.restorePoint, { onlyDumpIds, signal });
  if (damage.length === 0) return;
  const places = damage.map(({ pack, itemNumber }) => (itemNumber === null ? pack : `item ${itemNumber} of ${pack}`));
  const message = `the repository is damaged: ${[...new Set(places)].slice(0, PLACES_NAMED_MAX).join(", ")}`;
  const hint = isMarked ? "It is marked: the next backup stores anew what is still there." : undefined;
  warnings.push(warn(context, { message, hint }));
}
