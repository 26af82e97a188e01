// A run of a repository in words.

import type { SeenRun } from "../repository/index.ts";

/** `run 2026…, process 4711 on "host", begun at …`; of one whose record cannot be read, only its id. */
export function describeRun({ runId, record }: SeenRun): string {
  if (record === null) return `run ${runId}`;
  return `run ${runId}, process ${record.process.processId} on "${record.hostName}", begun at ${record.startedAt}`;
}
