// When the next timed checkpoint comes at the latest. It begins checkpoint_timeout after the last one began; one that was
// left out, as the server was idle, is made up for within another checkpoint_timeout. Others may come before, for the
// amount of WAL or because somebody asks. Source: checkpointer.c, CheckpointerMain.

import type { Session } from "../../postgres/index.ts";
import { answerOf, ask, type Answer } from "./ask.ts";

const QUERY = `
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            WHEN since < timeout THEN pg_catalog.ceil(timeout - since)::bigint
            ELSE timeout::bigint END
  FROM (SELECT 1000 * EXTRACT(epoch FROM pg_catalog.now() - checkpoint_time),
               1000 * EXTRACT(epoch FROM pg_catalog.current_setting('checkpoint_timeout')::interval)
          FROM pg_catalog.pg_control_checkpoint()) AS c (since, timeout)`;

/** Milliseconds until it comes, at most; null on a standby, which does not know. */
export async function readCheckpointDue(session: Session, signal: AbortSignal): Promise<Answer<number | null>> {
  return await answerOf("when the next checkpoint is due", signal, async () => {
    const text = (await ask(session, QUERY, signal))[0]?.[0] ?? null;
    return text === null ? null : Math.max(0, Number(text));
  });
}
