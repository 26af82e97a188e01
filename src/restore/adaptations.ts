// What pg_dump of a newer major writes and an older server does not take, changed where the change is exact: the
// restored object is the one that the server would have had. Each change is a named rule. Pure.
// Source: own trials with pg_dump 15 to 18 against servers 13 to 18.

import type { Toc, TocEntry } from "../archive/index.ts";
import { firstBracketed, qualifiedName, readQualifiedName, splitTopLevel } from "./sql-text.ts";
import type { RestoreStatement } from "./statements.ts";

/** The rules, by name, each with the sentence that the output gives. */
export const ADAPTATION_RULES = {
  table_not_null:
    "NOT NULL of an inherited column is written as a table constraint since 18; below, as ALTER COLUMN … SET NOT NULL.",
  subscription_option:
    "A subscription option that the server does not know, at the value the server has anyhow, is left out.",
  column_version: "pg_attver is a server's own mark on a column, not an option that can be set; it is left out.",
  locale_provider:
    "Below 15 every database has its locale from the system's library, and LOCALE_PROVIDER = libc cannot be said.",
  public_schema_create:
    "Since 15 PUBLIC may not create in schema public and pg_dump takes that as given; below 15 it is revoked.",
} as const;

export type AdaptationRule = keyof typeof ADAPTATION_RULES;

/** One change made to one entry. */
export interface Adaptation {
  readonly rule: AdaptationRule;
  readonly dumpId: number;
  readonly description: string;
  readonly tag: string;
  /** What was changed: the text left out or added. */
  readonly change: string;
}

/** What the rules look at besides the entry. */
export interface AdaptationContext {
  /** server_version_num of the target. */
  readonly targetVersion: number;
  /** Major version of the pg_dump that wrote the archive; 0 when unknown. */
  readonly pgDumpMajor: number;
  readonly restoresAcl: boolean;
}

/** The context of an archive and a target. */
export function adaptationContext(toc: Toc, targetVersion: number, restoresAcl: boolean): AdaptationContext {
  const pgDumpMajor = Number.parseInt(toc.header.pgDumpVersion, 10);
  return { targetVersion, pgDumpMajor: Number.isNaN(pgDumpMajor) ? 0 : pgDumpMajor, restoresAcl };
}

/** The statements of an entry as the target takes them, and what was changed. */
export function adaptStatements(
  entry: TocEntry,
  statements: readonly RestoreStatement[],
  context: AdaptationContext,
): { readonly statements: readonly RestoreStatement[]; readonly adaptations: readonly Adaptation[] } {
  const adaptations: Adaptation[] = [];
  const report = (rule: AdaptationRule, change: string): void => {
    adaptations.push({ rule, dumpId: entry.dumpId, description: entry.description, tag: entry.tag, change });
  };
  const adapted = statements.map((statement) => {
    if (statement.purpose !== "definition") return statement;
    let { sql } = statement;
    if (sql.includes("pg_attver")) sql = withoutColumnVersion(sql, report);
    if (
      context.targetVersion < 180000 &&
      /^CREATE (UNLOGGED |FOREIGN )?TABLE /.test(sql) &&
      sql.includes("NOT NULL ")
    ) {
      sql = withoutTableNotNull(entry, sql, report);
    }
    if (entry.description === "DATABASE") sql = withoutLibcProvider(sql, context.targetVersion, report);
    if (entry.description === "SUBSCRIPTION") sql = withoutSubscriptionOptions(sql, context.targetVersion, report);
    return sql === statement.sql ? statement : { ...statement, sql };
  });
  const isPublic = entry.description === "SCHEMA" && entry.tag === "public";
  if (isPublic && context.restoresAcl && context.targetVersion < 150000 && context.pgDumpMajor >= 15) {
    const sql = "REVOKE CREATE ON SCHEMA public FROM PUBLIC;";
    adapted.push({ purpose: "adaptation", sql });
    report("public_schema_create", sql);
  }
  return { statements: adapted, adaptations };
}

type Report = (rule: AdaptationRule, change: string) => void;

const COLUMN_OPTIONS = /^(\s*ALTER (?:FOREIGN )?TABLE [\s\S]* ALTER COLUMN [\s\S]* SET \()([^()]*)(\)\s*)$/;

function withoutColumnVersion(sql: string, report: Report): string {
  const parts = splitTopLevel(sql, ";").map((part) => {
    const match = COLUMN_OPTIONS.exec(part);
    if (match === null || !match[2]?.includes("pg_attver")) return part;
    const options = match[2].split(",").map((option) => option.trim());
    const kept = options.filter((option) => !option.startsWith("pg_attver="));
    if (kept.length === options.length) return part;
    report("column_version", part.trim());
    return kept.length === 0 ? null : `${match[1]}${kept.join(", ")}${match[3]}`;
  });
  return parts.filter((part) => part !== null).join(";");
}

const TABLE_NOT_NULL =
  /^\s*(?:CONSTRAINT (?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*) )?NOT NULL ("(?:[^"]|"")*"|[^\s"(),]+)\s*$/;

function withoutTableNotNull(entry: TocEntry, sql: string, report: Report): string {
  const body = firstBracketed(sql);
  if (body === null) return sql;
  const items = splitTopLevel(sql.slice(body.start, body.end), ",");
  const columns: string[] = [];
  const kept = items.filter((item) => {
    const column = TABLE_NOT_NULL.exec(item)?.[1];
    if (column === undefined || readQualifiedName(column, 0) === null) return true;
    columns.push(column);
    report("table_not_null", item.trim());
    return false;
  });
  if (columns.length === 0) return sql;
  const list = kept.length === 0 ? "\n" : kept.join(",");
  const kind = sql.startsWith("CREATE FOREIGN TABLE") ? "ALTER FOREIGN TABLE" : "ALTER TABLE";
  const table = qualifiedName(entry.namespace, entry.tag);
  const added = columns.map((column) => `\n${kind} ONLY ${table} ALTER COLUMN ${column} SET NOT NULL;`);
  return `${sql.slice(0, body.start)}${list}${sql.slice(body.end)}${added.join("")}\n`;
}

const LIBC_PROVIDER = " LOCALE_PROVIDER = libc";

function withoutLibcProvider(sql: string, targetVersion: number, report: Report): string {
  // After the name, which may hold anything.
  const place = sql.indexOf(LIBC_PROVIDER, sql.lastIndexOf(" WITH TEMPLATE = "));
  if (targetVersion >= 150_000 || !sql.startsWith("CREATE DATABASE ") || place < 0) return sql;
  report("locale_provider", LIBC_PROVIDER.trim());
  return sql.slice(0, place) + sql.slice(place + LIBC_PROVIDER.length);
}

/** Options at the value that servers before `since` always have. */
const SUBSCRIPTION_OPTIONS = [
  { text: "run_as_owner = true", since: 160000 },
  { text: "streaming = off", since: 140000 },
] as const;

function withoutSubscriptionOptions(sql: string, targetVersion: number, report: Report): string {
  let result = sql;
  for (const { text, since } of SUBSCRIPTION_OPTIONS) {
    if (targetVersion >= since) continue;
    const start = result.lastIndexOf(" WITH (");
    const place = result.indexOf(`, ${text}`, Math.max(start, 0));
    if (start < 0 || place < 0) continue;
    result = result.slice(0, place) + result.slice(place + text.length + 2);
    report("subscription_option", text);
  }
  return result;
}
