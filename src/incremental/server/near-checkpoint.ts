// A checkpoint shortly before the snapshot: it becomes the base, so that the next run need not read again what changed between
// the last timed checkpoint and this snapshot. On a standby it is a restartpoint: the primary's last checkpoint that was replayed
// becomes the one to be noted. Decides nothing: which checkpoint is the base, rules/checkpoints.ts says.

import type { Session } from "../../postgres/index.ts";
import { ask, textOf } from "./ask.ts";

/** WAL since the last checkpoint for which another one is asked. The mark of each run, which touches nothing, is less. */
const WAL_BYTES_MIN = 128 * 1024;

const QUERY = `
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_insert_lsn() END - redo_lsn >= ${WAL_BYTES_MIN}
  FROM pg_catalog.pg_control_checkpoint()`;

/** Whether the next run would read again what much WAL has changed since the last checkpoint, or restartpoint. */
export async function isCheckpointFar(session: Session, signal: AbortSignal): Promise<boolean> {
  return textOf((await ask(session, QUERY, signal))[0]!, 0) === "t";
}

/** Makes a checkpoint, or a restartpoint where there is anything to make one of, on a session that is in no transaction. Throws what the server says, or the signal's reason. */
export async function makeCheckpoint(session: Session, signal: AbortSignal): Promise<void> {
  await session.query("CHECKPOINT", { signal });
}
