// Which relations pg_dump's selection flags choose, before pg_dump has run: -n -N -t -T and their kin, by pg_dump's own
// rules, in one query. What only pg_dump can tell (a filter file) makes the answer inexact, and everything is taken.
// Source: pg_dump's selectDumpableTable, getOwnedSeqs, processExtensionTables, expand_table_name_patterns.

import { quoteLiteral } from "../../postgres/index.ts";
import type { SelectionFlag } from "../selection-flags.ts";
import type { Ask } from "./check.ts";
import { patternToRegexes } from "./name-pattern.ts";

/** The relations that matter to a dump. */
export interface SelectedRelations {
  /** Tables that pg_dump locks, partitioned ones too: it needs SELECT on each, whatever it takes of them. */
  readonly tableOids: readonly number[];
  /** Those of them whose rows are read, and foreign tables whose rows are. */
  readonly dataOids: readonly number[];
  readonly foreignTableOids: readonly number[];
  /** Sequences whose values are read. */
  readonly sequenceOids: readonly number[];
  readonly includesLargeObjects: boolean;
  /** No -n or -t: also what belongs to no schema. */
  readonly includesEverything: boolean;
  /** False when pg_dump may choose fewer. */
  readonly isExact: boolean;
}

/** What the flags say, apart from the names. */
export interface SelectionScope {
  readonly includesEverything: boolean;
  readonly includesData: boolean;
  readonly includesSequenceValues: boolean;
  readonly includesLargeObjects: boolean;
  readonly includesUnloggedData: boolean;
  readonly isExact: boolean;
}

/** The scope of a list of flags (pure). */
export function scopeOf(flags: readonly SelectionFlag[]): SelectionScope {
  const has = (...names: readonly string[]): boolean => flags.some(({ name }) => names.includes(name));
  const sections = flags.filter(({ name }) => name === "section").map(({ value }) => value);
  const dataSection = sections.length === 0 || sections.includes("data");
  const includesData = dataSection && !has("schema-only", "no-data", "statistics-only");
  const isExact = !has("filter");
  const includesEverything = !has("schema", "table", "table-and-children") && isExact;
  const wantsLargeObjects = has("blobs", "large-objects") || (includesData && includesEverything);
  return {
    includesEverything,
    includesData,
    includesSequenceValues: includesData || (dataSection && has("sequence-data")),
    includesLargeObjects: dataSection && wantsLargeObjects && !has("no-blobs", "no-large-objects"),
    includesUnloggedData: !has("no-unlogged-table-data"),
    isExact,
  };
}

/** Asks for the relations. Unqualified table patterns are looked up in the role's own search_path, as pg_dump does. */
export async function selectRelations(ask: Ask, flags: readonly SelectionFlag[]): Promise<SelectedRelations> {
  const scope = scopeOf(flags);
  const rows = await ask(`SET LOCAL search_path TO DEFAULT;\n${selectionQuery(flags, scope)}`);
  await ask("SET LOCAL search_path TO pg_catalog, pg_temp");
  const oidsOf = (kinds: string, isData: boolean): number[] =>
    rows.filter((row) => kinds.includes(row[1]!) && (!isData || row[2] === "t")).map((row) => Number(row[0]));
  return {
    tableOids: oidsOf("rp", false),
    dataOids: oidsOf("rf", true),
    foreignTableOids: oidsOf("f", true),
    sequenceOids: oidsOf("S", true),
    includesLargeObjects: scope.includesLargeObjects,
    includesEverything: scope.includesEverything,
    isExact: scope.isExact,
  };
}

// Written with pg_catalog everywhere: it runs under the role's own search_path.
function selectionQuery(flags: readonly SelectionFlag[], scope: SelectionScope): string {
  const valuesOf = (...names: readonly string[]): string[] =>
    flags.flatMap(({ name, value }) => (names.includes(name) && value !== null ? [value] : []));
  const tables = [...matching(valuesOf("table"), false), ...matching(valuesOf("table-and-children"), true)];
  const withoutTables = [
    ...matching(valuesOf("exclude-table"), false),
    ...matching(valuesOf("exclude-table-and-children"), true),
  ];
  const withoutRows = [
    ...matching(valuesOf("exclude-table-data"), false),
    ...matching(valuesOf("exclude-table-data-and-children"), true),
  ];
  const schemas = valuesOf("schema").map(schemaCondition);
  const withoutSchemas = valuesOf("exclude-schema").map(schemaCondition);
  const servers = valuesOf("include-foreign-data").map((pattern) =>
    nameCondition("s.srvname", patternToRegexes(pattern).at(-1)!),
  );
  const inSchemas = schemas.length > 0 ? any(schemas) : `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`;
  const chosen = tables.length > 0 ? any(tables) : `${inSchemas} AND NOT ${any(withoutSchemas)}`;
  const takesExtensions = scope.includesEverything || flags.some(({ name }) => name === "extension");
  return `
WITH config AS (SELECT DISTINCT pg_catalog.unnest(extconfig) AS oid FROM pg_catalog.pg_extension),
members AS (SELECT objid AS oid FROM pg_catalog.pg_depend
             WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype = 'e'),
chosen AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'S', 'f') AND c.relpersistence <> 't' AND NOT ${any(withoutTables)}
     AND CASE WHEN c.oid IN (SELECT oid FROM members)
              THEN c.oid IN (SELECT oid FROM config) AND NOT ${any(withoutSchemas)} AND (${takesExtensions} OR ${chosen})
              ELSE ${chosen} END),
owned AS (
  SELECT d.objid AS oid, d.deptype, d.refobjid IN (SELECT oid FROM chosen) AS is_wanted
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'
   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid
     AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 AND q.relpersistence <> 't'),
wanted AS (
  SELECT oid FROM chosen WHERE oid NOT IN (SELECT oid FROM owned WHERE deptype = 'i' AND NOT is_wanted)
   UNION SELECT oid FROM owned WHERE is_wanted)
SELECT c.oid, c.relkind,
       CASE c.relkind WHEN 'S' THEN ${scope.includesSequenceValues}
                      WHEN 'f' THEN ${scope.includesData} AND ${any(servers)}
                      ELSE ${scope.includesData} END
         AND NOT ${any(withoutRows)} AND (c.relpersistence <> 'u' OR ${scope.includesUnloggedData})
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN wanted ON wanted.oid = c.oid
  LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid
  LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver`;
}

function any(conditions: readonly string[]): string {
  return conditions.length === 0 ? "false" : `(${conditions.join(" OR ")})`;
}

function schemaCondition(pattern: string): string {
  return nameCondition("n.nspname", patternToRegexes(pattern).at(-1)!);
}

function nameCondition(column: string, regex: string): string {
  return `${column} OPERATOR(pg_catalog.~) ${quoteLiteral(regex)} COLLATE pg_catalog.default`;
}

/** Conditions on c.oid for table patterns. */
function matching(patterns: readonly string[], withChildren: boolean): string[] {
  return patterns.map((pattern) => {
    const regexes = patternToRegexes(pattern);
    const conditions = [nameCondition("mc.relname", regexes.at(-1)!)];
    const schema = regexes.at(-2);
    conditions.push(
      schema === undefined ? "pg_catalog.pg_table_is_visible(mc.oid)" : nameCondition("mn.nspname", schema),
    );
    const found = `SELECT mc.oid FROM pg_catalog.pg_class mc
      JOIN pg_catalog.pg_namespace mn ON mn.oid = mc.relnamespace WHERE ${conditions.join(" AND ")}`;
    if (!withChildren) return `c.oid IN (${found})`;
    return `c.oid IN (WITH RECURSIVE tree AS (${found} UNION
      SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON tree.oid = i.inhparent) SELECT oid FROM tree)`;
  });
}
