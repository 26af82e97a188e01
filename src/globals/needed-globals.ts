// What one database needs of its server: the roles that own something in it, hold or gave privileges there, stand in its
// policies or settings; memberships among them; the tablespaces that it uses, with their owners.
// Source: PostgreSQL manual, "pg_shdepend".

import type { Acl, Globals, Membership } from "./globals.ts";

/** Names that the session's database refers to. */
export interface NeededNames {
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
}

// Dependencies on the bootstrap role, predefined roles and the two built-in tablespaces are not recorded.
const NEEDED_QUERY = `
WITH own AS (SELECT oid, datdba, dattablespace FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
SELECT 'role' AS kind, r.rolname AS name FROM pg_catalog.pg_roles r WHERE r.oid = 10 OR r.oid IN (
  SELECT d.refobjid FROM pg_catalog.pg_shdepend d, own
   WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
     AND (d.dbid = own.oid OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.objid = own.oid)
  UNION ALL SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, own WHERE s.setdatabase = own.oid)
UNION ALL
SELECT 'tablespace', t.spcname FROM pg_catalog.pg_tablespace t WHERE t.oid IN (
  SELECT dattablespace FROM own UNION ALL SELECT reltablespace FROM pg_catalog.pg_class)`;

/** Reads what the session's database refers to. */
export async function readNeededNames(
  read: (sql: string) => Promise<readonly Record<string, string | null>[]>,
): Promise<NeededNames> {
  const rows = await read(NEEDED_QUERY);
  const named = (kind: string): Set<string> => {
    return new Set(rows.flatMap((row) => (row["kind"] === kind ? [row["name"] ?? ""] : [])));
  };
  return { roles: named("role"), tablespaces: named("tablespace") };
}

/**
 * The part of a server's globals that one database needs. The bootstrap role, which every server has, comes without its
 * password; privileges on parameters and settings of all roles are nobody's need.
 */
export function neededGlobals(globals: Globals, needed: NeededNames): Globals {
  const tablespaces = globals.tablespaces.filter(({ name }) => needed.tablespaces.has(name));
  const wanted = new Set([
    ...needed.roles,
    ...tablespaces.flatMap(({ owner, acl }) => [owner, ...(acl === null ? [] : rolesOfAcl(acl))]),
  ]);
  const roles = globals.roles
    .filter(({ name }) => wanted.has(name))
    .map((role) => (role.name === globals.bootstrapRole ? { ...role, password: null } : role));
  const isKnown = (name: string): boolean => wanted.has(name) || name.startsWith("pg_");
  const memberships = globals.memberships
    .filter(({ role, member }) => isKnown(role) && isKnown(member))
    .map((membership): Membership => {
      const { grantor } = membership;
      return grantor === null || wanted.has(grantor) ? membership : { ...membership, grantor: null };
    });
  return { ...globals, roles, memberships, tablespaces, parameters: [], settingsOfAll: [] };
}

function rolesOfAcl({ items }: Acl): string[] {
  return items.flatMap(({ grantee, grantor }) => (grantee === null ? [grantor] : [grantee, grantor]));
}
