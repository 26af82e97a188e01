// The SQL of one entry: its definition and its owner, word for word what pg_restore sends. Pure.
// Source: pg_backup_archiver.c (18), _printTocEntry, _getObjectDescription; pg_backup_db.c, IssueCommandPerBlob,
// IssueACLPerBlob.

import type { TocEntry } from "../archive/index.ts";
import { quoteIdentifier } from "../postgres/index.ts";
import { isAcl, isDatabase } from "./entry-kinds.ts";
import type { RestoreOptions } from "./options.ts";
import { qualifiedName } from "./sql-text.ts";

/** What a statement is for: the words of error reports. */
export type StatementPurpose = "definition" | "owner" | "access method" | "adaptation";

export interface RestoreStatement {
  readonly purpose: StatementPurpose;
  readonly sql: string;
}

/** The SQL of an entry, or why there is none. */
export interface EntryStatements {
  readonly statements: readonly RestoreStatement[];
  /** A sentence when the entry cannot be restored whole by us. */
  readonly problem: string | null;
}

const PLAIN_OWNED_KINDS = new Set([
  "COLLATION",
  "CONVERSION",
  "DATABASE",
  "DOMAIN",
  "EVENT TRIGGER",
  "FOREIGN DATA WRAPPER",
  "FOREIGN TABLE",
  "MATERIALIZED VIEW",
  "PROCEDURAL LANGUAGE",
  "PUBLICATION",
  "SCHEMA",
  "SEQUENCE",
  "SERVER",
  "STATISTICS",
  "SUBSCRIPTION",
  "TABLE",
  "TEXT SEARCH CONFIGURATION",
  "TEXT SEARCH DICTIONARY",
  "TYPE",
  "VIEW",
]);

/** Kinds whose DROP statement holds the full name of the object. */
export const SIGNATURE_OWNED_KINDS = new Set([
  "AGGREGATE",
  "FUNCTION",
  "OPERATOR",
  "OPERATOR CLASS",
  "OPERATOR FAMILY",
  "PROCEDURE",
]);

const OWNERLESS_KINDS = new Set([
  "CAST",
  "CHECK CONSTRAINT",
  "CONSTRAINT",
  "DATABASE PROPERTIES",
  "DEFAULT",
  "FK CONSTRAINT",
  "INDEX",
  "POLICY",
  "ROW SECURITY",
  "RULE",
  "TRIGGER",
  "USER MAPPING",
]);

/** The oids of a BLOB METADATA entry: one a line. */
export function largeObjectOids(entry: TocEntry): readonly string[] {
  const lines = entry.definition.split("\n");
  lines.pop();
  return lines;
}

/** The statements that create what an entry describes. `entryOf` finds an entry by dump id. */
export function entryStatements(
  entry: TocEntry,
  options: RestoreOptions,
  entryOf: (dumpId: number) => TocEntry | undefined,
): EntryStatements {
  const statements: RestoreStatement[] = [];
  let problem: string | null = null;
  const add = (purpose: StatementPurpose, sql: string): void => {
    statements.push({ purpose, sql });
  };
  if (options.noOwner && entry.description === "SCHEMA" && !entry.definition.startsWith("--")) {
    add("definition", `CREATE SCHEMA ${quoteIdentifier(entry.tag)};`);
  } else if (entry.description === "BLOB METADATA") {
    for (const oid of largeObjectOids(entry)) add("definition", `SELECT pg_catalog.lo_create('${oid}');`);
  } else if (entry.description === "ACL" && entry.tag.startsWith("LARGE OBJECTS")) {
    const metadata = entryOf(entry.dependencies[0] ?? 0);
    const commands = metadata === undefined ? null : largeObjectAcl(entry.definition, largeObjectOids(metadata));
    if (commands === null) problem = "The large objects that these privileges are for are not in the archive.";
    for (const sql of commands ?? []) add("definition", sql);
  } else if (entry.definition !== "") {
    add("definition", entry.definition);
  }
  if (wantsOwner(entry, options)) {
    const owner = ownerStatements(entry);
    if (owner === null) problem = `It is not known how to set the owner of a ${entry.description}.`;
    for (const sql of owner ?? []) add("owner", sql);
  }
  if (entry.relationKind === "p" && entry.tableAccessMethod !== null && !options.noTableAccessMethod) {
    const table = qualifiedName(entry.namespace, entry.tag);
    add("access method", `ALTER TABLE ${table} SET ACCESS METHOD ${quoteIdentifier(entry.tableAccessMethod)};`);
  }
  return { statements, problem };
}

function wantsOwner(entry: TocEntry, options: RestoreOptions): boolean {
  if (options.noOwner || entry.owner === "" || entry.dropStatement === "") return false;
  if (!options.useSetSessionAuthorization) return true;
  return entry.description === "SCHEMA" && entry.definition.startsWith("--");
}

function ownerStatements(entry: TocEntry): readonly string[] | null {
  const owner = quoteIdentifier(entry.owner);
  const kind = entry.description;
  if (kind === "BLOB METADATA") {
    return largeObjectOids(entry).map((oid) => `ALTER LARGE OBJECT ${oid} OWNER TO ${owner};`);
  }
  if (PLAIN_OWNED_KINDS.has(kind)) {
    return [`ALTER ${kind} ${qualifiedName(entry.namespace, entry.tag)} OWNER TO ${owner};`];
  }
  if (kind === "BLOB") return [`ALTER LARGE OBJECT ${entry.tag} OWNER TO ${owner};`];
  if (SIGNATURE_OWNED_KINDS.has(kind)) {
    const name = entry.dropStatement.slice("DROP ".length).replace(/[\n;]+$/, "");
    return [`ALTER ${name} OWNER TO ${owner};`];
  }
  return OWNERLESS_KINDS.has(kind) ? [] : null;
}

/** Privileges written for one large object, said for each of `oids`; null when they are not of the known form. */
function largeObjectAcl(definition: string, oids: readonly string[]): readonly string[] | null {
  const commands: string[] = [];
  let rest = definition.trim();
  while (rest !== "") {
    const match = /^((?:[^";]|"[^"]*")*?LARGE OBJECT )\d+((?:[^";]|"[^"]*")*);\s*/.exec(rest);
    if (match === null) return null;
    for (const oid of oids) commands.push(`${match[1]}${oid}${match[2]};`);
    rest = rest.slice(match[0].length);
  }
  return commands;
}

/** What an entry wants its session to be set to before its SQL is sent. Null: whatever it is. */
export interface EntrySettings {
  /** Session user, with --use-set-session-authorization; "" is the user that logged in. */
  readonly owner: string | null;
  /** search_path of archives that have no SEARCHPATH entry. */
  readonly schema: string | null;
  /** "" is the database's default. */
  readonly tablespace: string | null;
  readonly tableAccessMethod: string | null;
}

/** The session settings of an entry. `hasSearchPath`: the archive sets one search_path for all. */
export function entrySettings(entry: TocEntry, options: RestoreOptions, hasSearchPath: boolean): EntrySettings {
  const setsOwner = options.useSetSessionAuthorization === true && !options.noOwner;
  return {
    owner: setsOwner ? entry.owner : null,
    schema: hasSearchPath || entry.namespace === "" ? null : entry.namespace,
    tablespace: options.noTablespaces ? null : entry.tablespace,
    tableAccessMethod: options.noTableAccessMethod || entry.relationKind === "p" ? null : entry.tableAccessMethod,
  };
}

/** True when the session user is unknown after an entry: privileges may hold SET SESSION AUTHORIZATION. */
export function leavesUserUnknown(entry: TocEntry): boolean {
  return isAcl(entry);
}

/** The database to connect to after an entry; null: stay. */
export function reconnectsTo(entry: TocEntry): string | null {
  return isDatabase(entry) ? entry.tag : null;
}
