// The roles and tablespaces of a throwaway server: the roles that the restore point carries, with memberships and settings;
// then, as empty shells, what the archive names besides. Tablespaces stand within the server's own folder.

import { applyGlobals, planGlobals, readGlobals, type Globals } from "../../globals/index.ts";
import { openSession, quoteIdentifier, type ConnectionSettings } from "../../postgres/index.ts";
import type { ServerNeeds } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** Makes the carried roles; what fails is reported, and is the restore's to fail at if it needs it. */
export async function makeCarriedRoles(
  context: OperationContext,
  settings: ConnectionSettings,
  globals: Globals,
): Promise<void> {
  const { signal } = context;
  await using session = await openSession(settings, { signal });
  const there = await readGlobals(session, { signal, withPasswords: false });
  // Settings of all roles would be those of the drill's sessions too.
  const source: Globals = { ...globals, tablespaces: [], parameters: [], settingsOfAll: [] };
  const plan = planGlobals(source, there, { isSuperuser: true, tablespaceMapping: {} });
  for (const { subject, error } of await applyGlobals(session, plan, { source, signal })) {
    warn(context, { message: `${subject} could not be made on the throwaway server: ${error}` });
  }
}

/** Makes roles and tablespaces that the archive names and the server does not have. */
export async function makeMissing(
  settings: ConnectionSettings,
  needs: ServerNeeds,
  signal: AbortSignal,
): Promise<void> {
  await using session = await openSession(settings, { signal });
  const { rows } = await session.query("SELECT rolname FROM pg_catalog.pg_roles;", { signal });
  const there = new Set(rows.map(([name]) => name));
  for (const { name, ownsAsSuperuser } of needs.roles) {
    // What only a newer or another maker's server has by itself cannot be made: the restore says so.
    if (there.has(name) || name.startsWith("pg_")) continue;
    await session.query(`CREATE ROLE ${quoteIdentifier(name)}${ownsAsSuperuser ? " SUPERUSER" : ""};`, { signal });
  }
  const spaces = await session.query("SELECT spcname FROM pg_catalog.pg_tablespace;", { signal });
  const spacesThere = new Set(spaces.rows.map(([name]) => name));
  const missing = needs.tablespaces.filter((name) => !spacesThere.has(name) && !name.startsWith("pg_"));
  if (missing.length > 0) await session.query("SET allow_in_place_tablespaces = on;", { signal });
  for (const name of missing) {
    await session.query(`CREATE TABLESPACE ${quoteIdentifier(name)} LOCATION '';`, { signal });
  }
}
