// Does the server still live in the history that the parent was read in? System identifier, timeline and LSN do not tell: a data
// directory or volume that was put back, and a clone, have the same ones. That a WAL summary ends exactly at the parent's
// seal does: summaries hold flushed WAL only, and another history has its boundaries elsewhere.
// Source: docs/formats/incremental.md.

import type { IncrementalRecord, ServerPosition, WalSummary } from "../types.ts";
import { formatLsn } from "./lsn.ts";

/** Why the server's history is not the parent's, or cannot be shown to be; null: it is. */
export function historyBreak(
  { position: then, sealLsn }: IncrementalRecord,
  now: ServerPosition,
  summaries: readonly WalSummary[],
): string | null {
  if (then.systemIdentifier !== now.systemIdentifier) {
    return `another server: system identifier ${then.systemIdentifier} then, ${now.systemIdentifier} now`;
  }
  if (then.databaseOid !== now.databaseOid) {
    return `another database: OID ${then.databaseOid} then, ${now.databaseOid} now`;
  }
  if (then.timeline !== now.timeline) return `another timeline: ${then.timeline} then, ${now.timeline} now`;
  if (sealLsn === null) {
    return "the parent is not sealed: no WAL summary had reached its snapshot when it was finished";
  }
  const isFound = summaries.some(({ timeline, endLsn }) => timeline === then.timeline && endLsn === sealLsn);
  if (isFound) return null;
  return `no WAL summary ends at the parent's seal, ${formatLsn(sealLsn)}: the file was removed, or the server was put back to an earlier state`;
}
