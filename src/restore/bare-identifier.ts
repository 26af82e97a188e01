// Names as pg_dump and pg_restore write them: quoted only where they must be. Everywhere else names are always quoted,
// which is the same to a server; here the text itself counts. Source: string_utils.c, fmtIdEnc; kwlist.h of 18.

import { quoteIdentifier } from "../postgres/index.ts";

/** Keywords that are not unreserved. */
const KEYWORDS = new Set(
  (
    "all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case " +
    "cast char character check coalesce collate collation column concurrently constraint create cross current_catalog " +
    "current_date current_role current_schema current_time current_timestamp current_user dec decimal default " +
    "deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full grant " +
    "greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join " +
    "json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize " +
    "json_table json_value lateral leading least left like limit localtime localtimestamp merge_action national " +
    "natural nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay " +
    "placing position precision primary real references returning right row select session_user setof similar " +
    "smallint some substring symmetric system_user table tablesample then time timestamp to trailing treat trim true " +
    "union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat " +
    "xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable"
  ).split(" "),
);

/** The name, in quotes where it is no plain lower-case word, or a keyword. */
export function bareIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !KEYWORDS.has(name) ? name : quoteIdentifier(name);
}

/** SQL in which all names are quoted, with quotes only where they must be. The text must hold no string literals. */
export function withBareIdentifiers(sql: string): string {
  return sql.replaceAll(/"(?:[^"]|"")*"/g, (quoted) => bareIdentifier(quoted.slice(1, -1).replaceAll('""', '"')));
}
