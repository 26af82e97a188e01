// Compares two databases by what stock tools see: the schema by the text of one `pg_dump -s` (run against both), entry by
// entry; rows by a count and an order-independent sum of row hashes per table, computed by the server; sequences; large
// objects with owner, ACL and comment; on request the properties of the databases themselves.
// Limits: rows of foreign tables are not read; two rows that swap equal hashes are not seen.

import type { ClientTools, TestServer } from "./servers.ts";
import { runTool } from "./servers.ts";
import { clientTools } from "./server-packages.ts";

export type DifferenceKind = "schema" | "rows" | "sequence" | "large object" | "database";

/** Something that is not the same on both sides; null where it is missing. */
export interface Difference {
  readonly kind: DifferenceKind;
  /** For "schema" pg_dump's words: `TABLE torture.person`; for rows and sequences the quoted name; for large objects the OID. */
  readonly name: string;
  readonly left: string | null;
  readonly right: string | null;
}

/** A difference that the official tools make too. */
export interface ComparisonException {
  readonly name: string;
  readonly reason: string;
  covers(difference: Difference): boolean;
}

/** What was compared, and what was different. */
export interface Comparison {
  /** Differences that no exception covers; empty when the databases are the same. */
  readonly differences: readonly Difference[];
  readonly excused: readonly { readonly exception: string; readonly difference: Difference }[];
  /** How many things of each kind the left side has: a comparison of nothing must not look like success. */
  readonly counts: Readonly<Record<DifferenceKind, number>>;
}

/** One side: a database on a server. */
export interface ComparedDatabase {
  readonly server: TestServer;
  readonly name: string;
}

export interface CompareOptions {
  readonly exceptions?: readonly ComparisonException[];
  /** The tools whose pg_dump writes both schema texts; without them, those for the newer of the two servers. */
  readonly tools?: ClientTools;
  /** Compare owner, encoding, ACL, comment, settings of the databases too (they travel only with --create). */
  readonly databaseProperties?: boolean;
  /** Compare schemas only. */
  readonly schemaOnly?: boolean;
}

type Facts = ReadonlyMap<string, { readonly kind: DifferenceKind; readonly name: string; readonly value: string }>;

/** Compares two databases. */
export async function compareDatabases(
  left: ComparedDatabase,
  right: ComparedDatabase,
  options: CompareOptions = {},
): Promise<Comparison> {
  const newer = left.server.major >= right.server.major ? left.server.major : right.server.major;
  const tools = options.tools ?? (await clientTools(newer));
  const [leftFacts, rightFacts] = await Promise.all([
    readFacts(left, tools, options),
    readFacts(right, tools, options),
  ]);
  const differences: Difference[] = [];
  for (const key of new Set([...leftFacts.keys(), ...rightFacts.keys()])) {
    const [a, b] = [leftFacts.get(key), rightFacts.get(key)];
    const known = a ?? b;
    if (!known || a?.value === b?.value) continue;
    differences.push({ kind: known.kind, name: known.name, left: a?.value ?? null, right: b?.value ?? null });
  }
  const excused: { exception: string; difference: Difference }[] = [];
  const remaining = differences.filter((difference) => {
    const exception = options.exceptions?.find((candidate) => candidate.covers(difference));
    if (exception) excused.push({ exception: exception.name, difference });
    return !exception;
  });
  return { differences: remaining, excused, counts: countKinds(leftFacts) };
}

/** The differences as text for a failed test: one paragraph each. */
export function formatDifferences(differences: readonly Difference[]): string {
  const lines = differences.map(
    ({ kind, name, left, right }) => `${kind} ${name}\n  left:  ${left}\n  right: ${right}`,
  );
  return lines.join("\n");
}

function countKinds(facts: Facts): Record<DifferenceKind, number> {
  const counts = { schema: 0, rows: 0, sequence: 0, "large object": 0, database: 0 };
  for (const { kind } of facts.values()) counts[kind] += 1;
  return counts;
}

async function readFacts(database: ComparedDatabase, tools: ClientTools, options: CompareOptions): Promise<Facts> {
  const facts = new Map<string, { kind: DifferenceKind; name: string; value: string }>();
  const add = (kind: DifferenceKind, name: string, value: string): void => {
    // Names can occur twice (pg_dump leaves the arguments of some objects out): the second gets a number.
    let key = `${kind} ${name}`;
    for (let count = 2; facts.has(key); count += 1) key = `${kind} ${name} #${count}`;
    facts.set(key, { kind, name, value });
  };
  const uri = database.server.uri(database.name);
  const text = await runTool(tools.pgDump, ["-s", "--restrict-key=x", "-d", uri]);
  for (const [name, body] of schemaEntries(text)) add("schema", name, body);
  const scripts = options.schemaOnly ? [] : [rowSums, sequenceValues, largeObjects];
  if (options.databaseProperties) scripts.push(databaseProperties);
  const output = await database.server.psql(database.name, [session, ...scripts].join("\n"));
  for (const line of output.split("\n").filter((candidate) => candidate !== "")) {
    const fact = JSON.parse(line) as { kind: DifferenceKind; name: string; value: string };
    add(fact.kind, fact.name, fact.value);
  }
  return facts;
}

/** The settings that say where an entry of a type goes; others leave them as they were. */
const placedBy: Readonly<Record<string, readonly string[]>> = {
  TABLE: ["default_tablespace", "default_table_access_method"],
  "MATERIALIZED VIEW": ["default_tablespace", "default_table_access_method"],
  INDEX: ["default_tablespace"],
};

/** Splits pg_dump's plain text at its own headers; comments and lines that differ on every run are left out. */
export function schemaEntries(dumpText: string): (readonly [name: string, body: string])[] {
  const header = /^--\n-- Name: (.*); Type: ([^;]*); Schema: ([^;]*); Owner: ?([^\n]*)\n--\n/gm;
  const starts = [...dumpText.matchAll(header)];
  const prologue = dumpText.slice(0, starts[0]?.index ?? dumpText.length);
  const entries: (readonly [string, string])[] = [["PROLOGUE", cleaned(prologue)]];
  const placement = new Map<string, string>();
  notePlacement(prologue, placement);
  for (const [index, match] of starts.entries()) {
    const [whole, name = "", type = "", schema = "", owner = ""] = match;
    const body = dumpText.slice(match.index + whole.length, starts[index + 1]?.index ?? dumpText.length);
    const lines = [cleaned(body), `-- owner ${owner}`];
    const settings = placedBy[type] ?? [];
    lines.push(...settings.map((setting) => placement.get(setting) ?? ""));
    entries.push([`${type} ${schema === "-" ? "" : `${schema}.`}${name}`, lines.join("\n")]);
    notePlacement(body, placement);
  }
  return entries;
}

/** Tablespace and access method are set before an entry's header and hold until set anew. */
function notePlacement(text: string, placement: Map<string, string>): void {
  for (const [line, setting = ""] of text.matchAll(/^SET (default_\w+) = .*$/gm)) placement.set(setting, line);
}

const identifier = String.raw`(?:"(?:[^"]|"")+"|[^\s".]+)`;
/** A column's stamp of the November 2026 releases, which only their own pg_dump leaves out. Names may hold newlines. */
const columnStamp = new RegExp(
  String.raw`^ALTER [A-Z ]+ ${identifier}(?:\.${identifier})? ALTER COLUMN ${identifier} SET \(pg_attver=\d+\);\n`,
  "gm",
);

function cleaned(text: string): string {
  const noise = [
    /^-- Dumped (from|by) /,
    /^-- PostgreSQL database dump( complete)?$/,
    /^\\(un)?restrict /,
    /^(--)?$/,
    /^SET default_/,
  ];
  return text
    .replaceAll(columnStamp, "")
    .replaceAll(/ SET \(pg_attver=\d+, (?=.*\);$)/gm, " SET (")
    .split("\n")
    .filter((line) => !noise.some((pattern) => pattern.test(line)))
    .join("\n");
}

const session = `
\\o /dev/null
SELECT pg_catalog.set_config('client_encoding', CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false);
\\o
SET search_path = pg_catalog;
SET default_transaction_read_only = off;
SET row_security = off;
SET extra_float_digits = 3;
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET bytea_output = 'hex';
SET lc_monetary = 'C';
`;

/** A root with a foreign partition is left to its leaves. Columns in name order, because inheritance may change theirs; bytea by its hash, because its text is twice as long. */
const rowSums = `
WITH columns AS (
  SELECT attrelid, string_agg(CASE atttypid WHEN 'bytea'::regtype THEN format('sha256(%I)', attname) ELSE quote_ident(attname) END,
                              ', ' ORDER BY attname COLLATE "C") AS list
  FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped GROUP BY attrelid)
SELECT CASE WHEN c.relispopulated
  THEN format('SELECT json_build_object(''kind'', ''rows'', ''name'', %L, ''value'', count(*) || '' rows, sum '' ||
    coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0)) FROM %s %I.%I',
    format('%I.%I', n.nspname, c.relname), coalesce(columns.list, ''),
    CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY' END, n.nspname, c.relname)
  ELSE format('SELECT json_build_object(''kind'', ''rows'', ''name'', %L, ''value'', ''not populated'')',
    format('%I.%I', n.nspname, c.relname)) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN columns ON columns.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
  AND NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) AS tree JOIN pg_class leaf ON leaf.oid = tree.relid WHERE leaf.relkind = 'f')
ORDER BY n.nspname, c.relname
\\gexec
`;

const sequenceValues = `
SELECT format('SELECT json_build_object(''kind'', ''sequence'', ''name'', %L, ''value'', last_value || '' '' || is_called) FROM %I.%I',
  format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY n.nspname, c.relname
\\gexec
`;

/** By reading, not by pages: a hole and stored zeros are the same contents. */
const largeObjects = `
SELECT json_build_object('kind', 'large object', 'name', m.oid::text, 'value',
  coalesce(size.bytes, 0) || ' bytes, md5 ' || (
    SELECT md5(coalesce(string_agg(md5(lo_get(m.oid, start, 1048576)), '' ORDER BY start), ''))
    FROM generate_series(0, coalesce(size.bytes, 0) - 1, 1048576) AS start)
  || ', owner ' || pg_get_userbyid(m.lomowner) || ', acl ' || (
    SELECT coalesce(string_agg(item::text, ' ' ORDER BY item::text), '')
    FROM unnest(coalesce(m.lomacl, acldefault('L', m.lomowner))) AS item)
  || ', comment ' || coalesce(obj_description(m.oid, 'pg_largeobject'), '-'))
FROM pg_largeobject_metadata m LEFT JOIN LATERAL (
  SELECT p.pageno::bigint * 2048 + length(p.data) AS bytes FROM pg_largeobject p WHERE p.loid = m.oid
  ORDER BY p.pageno DESC LIMIT 1) AS size ON true
ORDER BY m.oid;
`;

const databaseProperties = `
SELECT json_build_object('kind', 'database', 'name', key, 'value', coalesce(value, '-'))
FROM pg_database d, LATERAL (VALUES
  ('owner', pg_get_userbyid(d.datdba)::text), ('encoding', pg_encoding_to_char(d.encoding)::text),
  ('collate', d.datcollate::text), ('ctype', d.datctype::text), ('connection limit', d.datconnlimit::text),
  ('acl', (SELECT string_agg(item::text, ' ' ORDER BY item::text) FROM unnest(coalesce(d.datacl, acldefault('d', d.datdba))) AS item)),
  ('comment', shobj_description(d.oid, 'pg_database')),
  ('settings', (SELECT string_agg(coalesce(r.rolname, '-') || ' ' || s.setconfig::text, E'\\n' ORDER BY r.rolname)
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid))) AS fact (key, value)
WHERE d.datname = current_database();
`;
