// What hold and release print.

import type { HoldReport, ReleaseReport } from "../../operations/hold/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, joinLines } from "./text.ts";

/** One sentence. */
export function renderHold({ reason, restorePointId }: HoldReport): string {
  const because = reason === "" ? "" : `: ${sanitizeLine(reason)}`;
  return joinLines([`Restore point ${restorePointId} is held${because}.`]);
}

/** One sentence. */
export function renderRelease({ releasedCount, restorePointId }: ReleaseReport): string {
  if (releasedCount === 0) return joinLines([`Restore point ${restorePointId} was not held.`]);
  return joinLines([
    `Restore point ${restorePointId} is no longer held (${countOf(releasedCount, "hold")} taken away).`,
  ]);
}
