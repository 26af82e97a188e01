// Reading SQL as pg_dump writes it, just far enough to find where a statement, a list item or a name ends. Knows
// quoted names, string literals (E'' and, with standard_conforming_strings off, backslashes in all), dollar quotes and
// comments. Not a parser.

import { quoteIdentifier } from "../postgres/index.ts";

/** How backslashes in '…' are read: true when standard_conforming_strings was on. */
export interface SqlReading {
  readonly standardStrings: boolean;
}

const STANDARD: SqlReading = { standardStrings: true };

/** A name with its schema, when it has one. */
export function qualifiedName(namespace: string | null, name: string): string {
  const quoted = quoteIdentifier(name);
  return namespace === null || namespace === "" ? quoted : `${quoteIdentifier(namespace)}.${quoted}`;
}

/**
 * The offset behind the token that begins at `offset` when that is a quoted thing or a comment, else `offset + 1`.
 * A token that does not end runs to the end of the text.
 */
export function skipToken(sql: string, offset: number, reading: SqlReading = STANDARD): number {
  const character = sql[offset];
  if (character === '"') return skipQuoted(sql, offset, false);
  if (character === "'") {
    const before = sql[offset - 1];
    const isEscaped = (before === "E" || before === "e") && !isNameCharacter(sql[offset - 2]);
    return skipQuoted(sql, offset, isEscaped || !reading.standardStrings);
  }
  if (character === "-" && sql[offset + 1] === "-") return endOf(sql, sql.indexOf("\n", offset), 1);
  if (character === "/" && sql[offset + 1] === "*") return skipBlockComment(sql, offset);
  if (character === "$" && !isNameCharacter(sql[offset - 1])) return skipDollarQuoted(sql, offset);
  return offset + 1;
}

function endOf(sql: string, found: number, length: number): number {
  return found < 0 ? sql.length : found + length;
}

function isNameCharacter(character: string | undefined): boolean {
  return character !== undefined && /[A-Za-z0-9_$\u0080-\uffff]/.test(character);
}

function skipQuoted(sql: string, start: number, backslashEscapes: boolean): number {
  const quote = sql[start] as string;
  let offset = start + 1;
  while (offset < sql.length) {
    const character = sql[offset];
    if (character === "\\" && backslashEscapes) offset += 2;
    else if (character !== quote) offset += 1;
    else if (sql[offset + 1] === quote) offset += 2;
    else return offset + 1;
  }
  return sql.length;
}

function skipBlockComment(sql: string, start: number): number {
  let depth = 0;
  let offset = start;
  while (offset < sql.length) {
    const pair = sql.slice(offset, offset + 2);
    if (pair === "/*") depth += 1;
    if (pair === "*/") depth -= 1;
    offset += pair === "/*" || pair === "*/" ? 2 : 1;
    if (depth === 0) return offset;
  }
  return sql.length;
}

const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;

function skipDollarQuoted(sql: string, start: number): number {
  DOLLAR_TAG.lastIndex = start;
  const tag = DOLLAR_TAG.exec(sql)?.[0];
  if (tag === undefined) return start + 1;
  return endOf(sql, sql.indexOf(tag, start + tag.length), tag.length);
}

/** Splits at a separator outside of quotes, comments and brackets. The separator stands in none of the parts. */
export function splitTopLevel(sql: string, separator: "," | ";", reading: SqlReading = STANDARD): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  let offset = 0;
  while (offset < sql.length) {
    const character = sql[offset];
    if (character === "(" || character === "[") depth += 1;
    else if (character === ")" || character === "]") depth -= 1;
    else if (character === separator && depth <= 0) {
      parts.push(sql.slice(start, offset));
      start = offset + 1;
    }
    offset = skipToken(sql, offset, reading);
  }
  parts.push(sql.slice(start));
  return parts;
}

/** The text between the first bracket and the one that closes it, with its place; null when there is none. */
export function firstBracketed(sql: string): { readonly start: number; readonly end: number } | null {
  let depth = 0;
  let start = -1;
  let offset = 0;
  while (offset < sql.length) {
    const character = sql[offset];
    if (character === "(") {
      if (depth === 0) start = offset + 1;
      depth += 1;
    } else if (character === ")") {
      depth -= 1;
      if (depth === 0 && start >= 0) return { start, end: offset };
    }
    offset = skipToken(sql, offset);
  }
  return null;
}

const NAME_AT = /"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y;

/** The dotted name that stands at an offset: its parts unquoted, and the offset behind it. Null when there is none. */
export function readQualifiedName(
  sql: string,
  offset: number,
): { readonly parts: readonly string[]; readonly end: number } | null {
  const parts: string[] = [];
  let position = offset;
  for (;;) {
    NAME_AT.lastIndex = position;
    const text = NAME_AT.exec(sql)?.[0];
    if (text === undefined) return parts.length === 0 ? null : { parts, end: position };
    parts.push(text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase());
    position += text.length;
    if (sql[position] !== ".") return { parts, end: position };
    position += 1;
  }
}
