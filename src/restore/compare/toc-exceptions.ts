// Differences that a faithful restore makes all the same, each by name with its reason. An exception is exact: it covers a
// pair of entries only when both are equal once that one thing is taken away. Pure.
// Source: own trials with stock pg_dump and pg_restore, 13 to 18.

import type { TocEntry } from "../../archive/index.ts";
import { skipToken } from "../sql-text.ts";

/** What the exceptions look at besides the entries. */
export interface TocVersions {
  readonly sourceMajor: number;
  readonly pgDumpMajor: number;
}

export interface EntryPair {
  readonly expected: TocEntry | null;
  readonly found: TocEntry | null;
}

export interface TocException {
  readonly reason: string;
  covers(pair: EntryPair, fields: readonly string[], versions: TocVersions): boolean;
}

/** Kinds whose definitions hold expressions that the server writes anew. */
const EXPRESSION_KINDS = new Set([
  "TABLE",
  "FOREIGN TABLE",
  "DOMAIN",
  "CONSTRAINT",
  "CHECK CONSTRAINT",
  "DEFAULT",
  "INDEX",
  "STATISTICS",
  "POLICY",
  "TRIGGER",
  "RULE",
  "VIEW",
  "MATERIALIZED VIEW",
  "FUNCTION",
  "PROCEDURE",
]);

export const TOC_EXCEPTIONS: readonly TocException[] = [
  {
    reason: "CREATE TABLE … INHERITS puts inherited columns first, whatever their order was; the columns are the same",
    covers: (pair, fields) => {
      const { expected, found } = pair;
      if (expected === null || found === null) return false;
      if (expected.description === "TABLE") {
        const isChild = /^INHERITS \(/m.test(expected.definition);
        return isChild && isOnly(fields, "definition") && sortedLines(expected) === sortedLines(found);
      }
      const isData = expected.description === "TABLE DATA" && isOnly(fields, "copyStatement");
      return isData && sortedColumns(expected) === sortedColumns(found);
    },
  },
  {
    reason: "the server writes an expression anew with other casts or brackets, equal otherwise",
    covers: ({ expected, found }, fields) =>
      expected !== null &&
      found !== null &&
      EXPRESSION_KINDS.has(expected.description) &&
      isOnly(fields, "definition") &&
      bareExpression(expected.definition) === bareExpression(found.definition),
  },
  {
    reason:
      "the default privileges of schema public changed in 15: a newer pg_dump writes an older server's as explicit",
    covers: ({ expected, found }, _fields, { sourceMajor, pgDumpMajor }) =>
      expected === null &&
      found?.description === "ACL" &&
      found.tag === "SCHEMA public" &&
      sourceMajor < 15 &&
      pgDumpMajor >= 15,
  },
];

function isOnly(fields: readonly string[], field: string): boolean {
  return fields.length === 1 && fields[0] === field;
}

function sortedLines({ definition }: TocEntry): string {
  return definition.replaceAll(/,$/gm, "").split("\n").toSorted().join("\n");
}

function sortedColumns({ copyStatement }: TocEntry): string {
  return copyStatement
    .replace(/^COPY /, "")
    .split(/, | \(|\) /)
    .toSorted()
    .join("\n");
}

const CAST = /::(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_]*)(?:\.(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_]*))*/y;
/** Types of several words, and what stands in brackets behind a type. */
const CAST_REST =
  /(?: varying| precision| with(?:out)? time zone)?(?:\(\d+(?:,-?\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*/y;
/** The name that a column of nothing but a cast gets by itself: its type's. */
const CAST_NAME =
  / AS "?(?:bool|bpchar|bytea|char|date|float4|float8|int2|int4|int8|interval|json|jsonb|name|numeric|oid|text|time|timestamp|timestamptz|timetz|uuid|varchar)"?(?=[,\n;)]|$)/y;

/** A definition without casts (and the names that columns get by them), brackets and spaces; quoted text stays as it is. */
function bareExpression(sql: string): string {
  let bare = "";
  for (let offset = 0; offset < sql.length;) {
    const cast = matchAt(CAST, sql, offset);
    if (cast > 0) {
      offset += cast;
      offset += matchAt(CAST_REST, sql, offset);
      offset += matchAt(CAST_NAME, sql, offset);
      continue;
    }
    const end = skipToken(sql, offset);
    const token = sql.slice(offset, end);
    if (!/^[()\s]$/.test(token)) bare += token;
    offset = end;
  }
  return bare;
}

function matchAt(pattern: RegExp, text: string, offset: number): number {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0].length ?? 0;
}
