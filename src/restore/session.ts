// Connections to the target, prepared as every connection of a restore is.

import type { Session } from "../postgres/index.ts";
import { MIB } from "../base/units.ts";
import type { RestorePlan } from "./plan.ts";

/** Opens a connection to the target; `database` null: the one that the caller was given. */
export type ConnectTarget = (database: string | null, signal: AbortSignal) => Promise<Session>;

/** maintenance_work_mem of all connections together, where the server's own setting is lower. */
const MAINTENANCE_MEMORY_BYTES_MAX = 512 * MIB;

/** maintenance_work_mem of one connection at most. */
const SESSION_MAINTENANCE_MEMORY_BYTES_MAX = 256 * MIB;

/**
 * Opens a connection and sends the plan's settings. Throws what connecting or one of the settings gave: pg_restore goes
 * on after a failed SET ROLE and restores as somebody else.
 */
export async function openTargetSession(
  plan: RestorePlan,
  connect: ConnectTarget,
  database: string | null,
  signal: AbortSignal,
): Promise<Session> {
  const session = await connect(database, signal);
  try {
    for (const statement of plan.sessionStatements) {
      await session.query(statement, { signal });
      // From here on the server reads and writes the archive's encoding.
      if (statement.startsWith("SET client_encoding")) session.textEncoding = plan.textEncoding;
    }
    await tuneSession(session, plan, signal);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function tuneSession(session: Session, plan: RestorePlan, signal: AbortSignal): Promise<void> {
  const jobs = plan.options.jobs ?? 1;
  const wantedKib = Math.floor(
    Math.min(SESSION_MAINTENANCE_MEMORY_BYTES_MAX, MAINTENANCE_MEMORY_BYTES_MAX / jobs) / 1024,
  );
  // The last commit of the run is synchronous and makes all before it durable.
  await session.query(
    `SET synchronous_commit = off;
     SELECT pg_catalog.set_config(name, '${wantedKib}kB', false) FROM pg_catalog.pg_settings
       WHERE name OPERATOR(pg_catalog.=) 'maintenance_work_mem' AND setting::pg_catalog.int8 OPERATOR(pg_catalog.<) ${wantedKib};`,
    { signal },
  );
}
