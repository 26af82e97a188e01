// Whether the writer of an unfinished file is gone. Another host's processes cannot be looked at: they count as gone when
// their file was left alone for long. SFTP does not tell the server's time, and it may differ from ours by any amount: the
// youngest file of the repository stands for it, which is never later than the server's time.

import { isWriterDead } from "../local/temporary-names.ts";
import { processState } from "../process-identity.ts";

/** Whoever wrote nothing for so long is gone, wherever it runs. */
const DEAD_AFTER_MS = 7 * 24 * 3_600_000;
/** Older than Cairn: the server did not know the time. */
const MODIFIED_MIN = Date.UTC(2026, 0, 1);
/** The writer in a name that temporaryName() made: host, boot, process and its start. */
const WRITER = /-([0-9a-f]{12})-([0-9a-f]{1,8})-([0-9]{1,10})-([0-9]{1,20})-[0-9]{1,10}$/;

/** True when the writer of that file is gone; `youngestMs`: when the youngest file was modified, as the server has it. */
export function isLeftoverDead(fileName: string, modifiedAtMs: number, youngestMs: number): boolean {
  // A file from the future, by whatever accident, must not make the others old.
  const nowMs = Math.min(youngestMs, Date.now());
  const idleMs = modifiedAtMs < MODIFIED_MIN ? 0 : Math.max(nowMs - modifiedAtMs, 0);
  if (isWriterDead(fileName, idleMs)) return true;
  return idleMs >= DEAD_AFTER_MS && !isWriterAlive(fileName);
}

function isWriterAlive(fileName: string): boolean {
  const [, host = "", boot = "", processId = "", startTicks = ""] = WRITER.exec(fileName) ?? [];
  return processState({ host, boot, processId: Number(processId), startTicks }) === "alive";
}
