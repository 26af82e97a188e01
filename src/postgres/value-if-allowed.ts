// Facts that a server may keep to itself: managed ones let nobody ask for some of them.

import { isOperatingError } from "../base/errors.ts";
import type { Session } from "./session.ts";

/** The first value of the first row; null when the role may not ask. Throws when the connection is lost. */
export async function valueIfAllowed(session: Session, sql: string, signal?: AbortSignal): Promise<string | null> {
  try {
    const { rows } = await session.query(sql, { signal });
    return rows[0]?.[0] ?? null;
  } catch (error) {
    const isRefused = isOperatingError(error, "insufficient_privilege") || isOperatingError(error, "query_failed");
    if (isRefused) return null;
    throw error; // a lost connection is no answer
  }
}
