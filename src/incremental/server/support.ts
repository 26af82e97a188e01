// Whether a server can say what changed: WAL summaries came with PostgreSQL 17 and are off unless switched on. A server
// with fsync off may lose WAL that was summarized. Source: PostgreSQL manual, "WAL Summarization", "pg_available_wal_summaries".

import type { Session } from "../../postgres/index.ts";
import { answerOf, ask } from "./ask.ts";

const SUMMARY_MAJOR_MIN = 17;

const FUNCTION_NAMES = [
  "pg_available_wal_summaries",
  "pg_wal_summary_contents",
  "pg_get_wal_summarizer_state",
] as const;

/** May WAL summaries be asked for? If not, why. */
export type ServerSupport = { readonly kind: "supported" } | { readonly kind: "unsupported"; readonly reason: string };

const QUERY = `
SELECT pg_catalog.current_setting('summarize_wal', true), pg_catalog.current_setting('fsync'),
       (SELECT pg_catalog.count(DISTINCT proname) FROM pg_catalog.pg_proc
         WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace
           AND proname IN (${FUNCTION_NAMES.map((name) => `'${name}'`).join(", ")})
           AND pg_catalog.has_function_privilege(oid, 'EXECUTE'))`;

/** Asks what the server is and how it is set. */
export async function readServerSupport(session: Session, signal: AbortSignal): Promise<ServerSupport> {
  const { major } = session.serverVersion;
  if (major < SUMMARY_MAJOR_MIN) {
    return unsupported(`PostgreSQL ${major} has no WAL summaries (${SUMMARY_MAJOR_MIN} and later have)`);
  }
  const answer = await answerOf("the server's settings", signal, () => ask(session, QUERY, signal));
  if (answer.kind === "unknown") return unsupported(answer.reason);
  const [summarizes, fsync, functionCount] = answer.value[0] ?? [];
  if (Number(functionCount) !== FUNCTION_NAMES.length) {
    return unsupported("the server lacks the functions that read WAL summaries, or the role may not call them");
  }
  if (summarizes !== "on") return unsupported("summarize_wal is off");
  if (fsync !== "on") return unsupported("fsync is off: the server may lose what it summarized");
  return { kind: "supported" };
}

function unsupported(reason: string): ServerSupport {
  return { kind: "unsupported", reason };
}
