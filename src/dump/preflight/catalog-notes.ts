// What stands in the catalog that a backup leaves out, cannot read, or that later tools stumble over.

import { quoteQualifiedName } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { countOf, displayName, displayPart, listNames, namesDetail } from "./finding.ts";
import type { PrivilegeScope } from "./privileges.ts";
import { wantedOids } from "./privileges.ts";
import type { RoleFacts } from "./role.ts";

/** Unlogged relations on a standby have no rows to be read: pg_dump fails. */
export async function checkUnloggedOnStandby(
  ask: Ask,
  oids: readonly number[],
  severity: PrivilegeScope["severity"],
): Promise<Finding[]> {
  if (oids.length === 0) return [];
  const rows = await ask(`
SELECT n.nspname, c.relname FROM ${wantedOids(oids)} JOIN pg_class c ON c.oid = wanted.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence = 'u' AND pg_is_in_recovery() ORDER BY 1, 2`);
  if (rows.length === 0) return [];
  const names = rows.map((row) => displayName({ schema: row[0]!, name: row[1]! }));
  return [
    {
      severity,
      code: "unlogged-on-standby",
      message: `unlogged relations cannot be read on a standby: ${listNames(names)}`,
      detail: namesDetail(names),
      hint: "Leave their rows out with --no-unlogged-table-data, or back up the primary.",
    },
  ];
}

/** Subscriptions are left out without an error when the role is no superuser. */
export async function checkSubscriptions(ask: Ask, role: RoleFacts): Promise<Finding[]> {
  if (role.isSuperuser) return [];
  const rows = await ask(`
SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
 WHERE d.datname = current_database() ORDER BY 1`);
  if (rows.length === 0) return [];
  return [
    {
      severity: "warning",
      code: "subscriptions",
      message:
        `subscriptions are left out, since role ${displayPart(role.name)} is no superuser: ` +
        listNames(rows.map((row) => displayPart(row[0]!))),
      hint: "Back up as a superuser to have them, or say --no-subscriptions.",
    },
  ];
}

/** Options of user mappings (passwords) that the role may not see are missing in a backup. */
export async function checkUserMappings(ask: Ask, role: RoleFacts): Promise<Finding[]> {
  if (role.isSuperuser) return [];
  const rows = await ask(`
SELECT s.srvname, u.usename FROM pg_user_mappings u JOIN pg_foreign_server s ON s.oid = u.srvid
 WHERE NOT pg_has_role(${role.oid}::oid, s.srvowner, 'USAGE')
   AND NOT (u.umuser = ${role.oid}::oid AND has_server_privilege(${role.oid}::oid, s.oid, 'USAGE')) ORDER BY 1, 2`);
  if (rows.length === 0) return [];
  const names = rows.map(([server, user]) => `${displayPart(user!)} on ${displayPart(server!)}`);
  return [
    {
      severity: "warning",
      code: "user-mappings",
      message:
        `options of user mappings are not visible to role ${displayPart(role.name)} and would be missing: ` +
        listNames(names),
      detail: namesDetail(names),
      hint: "Back up as a superuser or as the owner of the foreign servers.",
    },
  ];
}

/** Foreign tables whose rows are asked for: the remote server must answer. */
export async function checkForeignTables(ask: Ask, oids: readonly number[], role: RoleFacts): Promise<Finding[]> {
  if (oids.length === 0) return [];
  const rows = await ask(`
SELECT n.nspname, c.relname, s.srvname FROM ${wantedOids(oids)}
  JOIN pg_class c ON c.oid = wanted.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_foreign_table f ON f.ftrelid = c.oid JOIN pg_foreign_server s ON s.oid = f.ftserver
 WHERE NOT EXISTS (SELECT FROM pg_user_mappings u WHERE u.srvid = s.oid AND u.umuser IN (0, ${role.oid}::oid)) ORDER BY 1, 2`);
  if (rows.length === 0) return [];
  const tables = rows.map((row) => displayName({ schema: row[0]!, name: row[1]! }));
  const servers = [...new Set(rows.map((row) => displayPart(row[2]!)))];
  return [
    {
      severity: "info",
      code: "foreign-data",
      message: `role ${displayPart(role.name)} has no user mapping on server ${listNames(servers)} for ${listNames(tables)}`,
      detail: "Some foreign data wrappers need none.",
      hint: "If reading them fails, make one with CREATE USER MAPPING.",
    },
  ];
}

/** A database without an encoding. */
export async function checkEncoding(ask: Ask): Promise<Finding[]> {
  const value = (await ask("SELECT current_setting('server_encoding')"))[0]?.[0];
  if (value !== "SQL_ASCII") return [];
  return [
    {
      severity: "info",
      code: "encoding",
      message: "the database has the encoding SQL_ASCII: its bytes are kept as they are",
      detail: "They may be no valid text in any encoding, so restore into a database with SQL_ASCII too.",
    },
  ];
}

/** Names with line breaks, which PostgreSQL 19 does not take any more. */
export async function checkNames(ask: Ask): Promise<Finding[]> {
  const rows = await ask(`
SELECT kind, schema, name FROM (
  SELECT 'relation' AS kind, n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  UNION ALL SELECT 'schema', NULL, nspname FROM pg_namespace
  UNION ALL SELECT 'function', n.nspname, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  UNION ALL SELECT 'type', n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                    WHERE t.typrelid = 0 AND t.typelem = 0
  UNION ALL SELECT 'database', NULL, current_database()
) AS named WHERE name ~ '[\\r\\n]' ORDER BY 1, 2, 3`);
  if (rows.length === 0) return [];
  const names = rows.map(([kind, schema, name]) => {
    return `${kind} ${schema === null || schema === undefined ? displayPart(name!) : displayName({ schema, name: name! })}`;
  });
  return [
    {
      severity: "info",
      code: "names",
      message: `${countOf(names.length, "name")} with a line break: ${listNames(names)}`,
      detail: "A backup keeps them; PostgreSQL 19 and later refuse such names.",
      hint: "Rename them before an upgrade.",
    },
  ];
}

/** Event triggers fire in a restore's later statements, and only a superuser restores them. */
export async function checkEventTriggers(ask: Ask): Promise<Finding[]> {
  const rows = await ask("SELECT evtname FROM pg_event_trigger WHERE evtenabled <> 'D' ORDER BY 1");
  if (rows.length === 0) return [];
  return [
    {
      severity: "info",
      code: "event-triggers",
      message: `the database has event triggers: ${listNames(rows.map((row) => displayPart(row[0]!)))}`,
      detail: "Only a superuser restores them.",
    },
  ];
}

/** Indexes left invalid by a failed CREATE INDEX CONCURRENTLY: a backup leaves them out. */
export async function checkInvalidIndexes(ask: Ask): Promise<Finding[]> {
  const rows = await ask(`
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_toast' ORDER BY 1, 2`);
  if (rows.length === 0) return [];
  const indexes = rows.map((row) => ({ schema: row[0]!, name: row[1]! }));
  const names = indexes.map(displayName);
  return [
    {
      severity: "info",
      code: "invalid-indexes",
      message: `invalid indexes are left out: ${listNames(names)}`,
      detail: namesDetail(names),
      hint: "Build them anew, or drop them.",
      statements: indexes.slice(0, 100).map(({ schema, name }) => `REINDEX INDEX ${quoteQualifiedName(schema, name)};`),
    },
  ];
}
