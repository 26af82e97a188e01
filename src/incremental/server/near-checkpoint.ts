// A checkpoint shortly before the snapshot: it becomes the base, so that the next run need not read again what changed between
// the last timed checkpoint and this snapshot. Decides nothing: which checkpoint is the base, rules/checkpoints.ts says.

import type { Session } from "../../postgres/index.ts";
import { ask, textOf } from "./ask.ts";

/** WAL since the last checkpoint for which another one is asked. The mark of each run, which touches nothing, is less. */
const WAL_BYTES_MIN = 128 * 1024;

const QUERY = `
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN false
            ELSE pg_catalog.pg_current_wal_insert_lsn() - redo_lsn >= ${WAL_BYTES_MIN} END
  FROM pg_catalog.pg_control_checkpoint()`;

/** Whether the next run would read again what much WAL has changed since the last checkpoint. Never on a standby, whose own is no base. */
export async function isCheckpointFar(session: Session, signal: AbortSignal): Promise<boolean> {
  return textOf((await ask(session, QUERY, signal))[0]!, 0) === "t";
}

/** Makes a checkpoint, on a session that is in no transaction. Throws what the server says, or the signal's reason. */
export async function makeCheckpoint(session: Session, signal: AbortSignal): Promise<void> {
  await session.query("CHECKPOINT", { signal });
}
