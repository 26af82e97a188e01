// What an archive needs of a server besides an empty database: roles, tablespaces, extensions; and the archive for a
// database of another name. Pure. Names that stand in no known place of a definition are not found: the restore says so.

import type { Toc, TocEntry } from "../archive/index.ts";
import { quoteIdentifier } from "../postgres/index.ts";
import { isAcl, isDatabase } from "./entry-kinds.ts";
import { readQualifiedName, skipToken } from "./sql-text.ts";
import { rolesOfAcl } from "./target.ts";

/** A role that owns something or is granted something. */
export interface NeededRole {
  readonly name: string;
  /** True when it owns what only a superuser may own. */
  readonly ownsAsSuperuser: boolean;
}

export interface ServerNeeds {
  readonly roles: readonly NeededRole[];
  readonly tablespaces: readonly string[];
  readonly extensions: readonly string[];
}

const SUPERUSER_KINDS = new Set(["EVENT TRIGGER", "FOREIGN DATA WRAPPER", "PUBLICATION", "SUBSCRIPTION"]);

/** What the entries of an archive name. */
export function serverNeeds(toc: Toc): ServerNeeds {
  const roles = new Map<string, boolean>();
  const tablespaces = new Set<string>();
  for (const entry of toc.entries) {
    if (entry.owner !== "") {
      const isSuperuser = roles.get(entry.owner) === true || SUPERUSER_KINDS.has(entry.description);
      roles.set(entry.owner, isSuperuser);
    }
    for (const name of rolesNamedBy(entry)) roles.set(name, roles.get(name) ?? false);
    for (const name of tablespacesOf(entry)) tablespaces.add(name);
  }
  return {
    roles: [...roles].map(([name, ownsAsSuperuser]) => ({ name, ownsAsSuperuser })),
    tablespaces: [...tablespaces],
    extensions: toc.entries.filter(({ description }) => description === "EXTENSION").map(({ tag }) => tag),
  };
}

function rolesNamedBy(entry: TocEntry): readonly string[] {
  const { definition, description } = entry;
  if (isAcl(entry)) return [...rolesOfAcl(definition), ...namesAfter(definition, /SET SESSION AUTHORIZATION /g)];
  if (description === "USER MAPPING") return namesAfter(definition, /CREATE USER MAPPING FOR /g);
  if (description === "DATABASE PROPERTIES") return namesAfter(definition, /^ALTER ROLE /gm);
  if (description === "POLICY") return namesAfter(definition, / TO /g);
  return [];
}

/** Names, and lists of them, behind a word that stands outside of quotes. */
function namesAfter(sql: string, word: RegExp): readonly string[] {
  const names: string[] = [];
  const outside = wordsOutside(sql, word);
  for (const start of outside) {
    for (let at = start; ;) {
      const name = readQualifiedName(sql, at);
      const isQuoted = sql[at] === '"';
      if (name?.parts.length !== 1) break;
      if (isQuoted || !["public", "default"].includes(name.parts[0]!)) names.push(name.parts[0]!);
      if (!sql.startsWith(", ", name.end)) break;
      at = name.end + 2;
    }
  }
  return names;
}

/** The offsets behind each match that begins outside of quoted things. */
function wordsOutside(sql: string, word: RegExp): readonly number[] {
  const found: number[] = [];
  let offset = 0;
  for (const match of sql.matchAll(word)) {
    while (offset < match.index) offset = skipToken(sql, offset);
    if (offset === match.index) found.push(match.index + match[0].length);
  }
  return found;
}

function tablespacesOf(entry: TocEntry): readonly string[] {
  const names = entry.tablespace === null || entry.tablespace === "" ? [] : [entry.tablespace];
  return entry.description === "DATABASE" ? [...names, ...namesAfter(entry.definition, / TABLESPACE = /g)] : names;
}

/** The database's name in an archive that creates it; null when it has no such entry. */
export function databaseNameOf(toc: Toc): string | null {
  return toc.entries.find(({ description }) => description === "DATABASE")?.tag ?? null;
}

/** The archive for a database of another name: what is said of the database itself is said of that one. */
export function withDatabaseName(toc: Toc, name: string): Toc {
  const before = databaseNameOf(toc);
  if (before === null || before === name) return toc;
  const entries = toc.entries.map((entry) => {
    const isAbout =
      isDatabase(entry) || entry.tag === `DATABASE ${quoteIdentifier(before)}` || entry.tag === `DATABASE ${before}`;
    if (!isAbout) return entry;
    const rename = (sql: string): string => renameIn(sql, before, name);
    const tag = isDatabase(entry) ? name : `DATABASE ${name}`;
    return { ...entry, tag, definition: rename(entry.definition), dropStatement: rename(entry.dropStatement) };
  });
  return { ...toc, entries };
}

function renameIn(sql: string, before: string, name: string): string {
  let renamed = "";
  let copied = 0;
  for (const start of wordsOutside(sql, /\bDATABASE /g)) {
    const found = readQualifiedName(sql, start);
    if (found?.parts.length !== 1 || found.parts[0] !== before) continue;
    renamed += sql.slice(copied, start) + quoteIdentifier(name);
    copied = found.end;
  }
  return renamed + sql.slice(copied);
}
