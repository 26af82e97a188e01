// Marks the history that a server writes from here on. Two servers that work on from one data folder (a clone, a volume that
// was put back) can write WAL of the same length to the same blocks, with other contents: the boundaries and the digest of
// their summaries are then equal. A record of random length between a run's snapshot and its seal sets the boundaries apart.
// Source: docs/formats/incremental.md; message.c, LogLogicalMessage.

import { randomInt } from "node:crypto";

import type { Session } from "../../postgres/index.ts";
import type { ServerPosition } from "../types.ts";
import { answerOf, ask, type Answer } from "./ask.ts";

/** WAL records are aligned to 8 bytes: one of 8,192 lengths. */
const MARK_BYTES_MAX = 64 * 1024;

/**
 * Writes a record of random length into the WAL of a primary; a standby writes none, and is not marked. No transaction id is
 * used, and no right is needed that every role does not have. `draw`: a length below a bound.
 */
export async function markHistory(
  session: Session,
  { hostRole }: Pick<ServerPosition, "hostRole">,
  options: { readonly signal: AbortSignal; readonly draw?: (bound: number) => number },
): Promise<Answer<null>> {
  if (hostRole === "standby") return { kind: "known", value: null };
  const { signal, draw = randomInt } = options;
  const message = `pg_catalog.repeat('x', ${draw(MARK_BYTES_MAX)})`;
  return await answerOf("the WAL's mark of this run", signal, async () => {
    await ask(session, `SELECT pg_catalog.pg_logical_emit_message(false, 'cairn', ${message})`, signal);
    return null;
  });
}
