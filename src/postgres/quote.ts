// Quoting of names and values for SQL text, and reading of quoted names.
// Source: PostgreSQL manual, "Lexical Structure"; the functions quote_ident and quote_literal.

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";

const PLAIN_NAME = /^[a-z_][a-z0-9_$]*$/;

/** A name in double quotes, always: right for every name, keyword or not. */
export function quoteIdentifier(name: string): string {
  assert(!name.includes("\0"), "a name with a NUL character");
  return `"${name.replaceAll('"', '""')}"`;
}

/** A schema-qualified name, each part quoted. */
export function quoteQualifiedName(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A name for people: in quotes only when it is no plain lower-case word. Keywords stay bare, so it is not for SQL. */
export function displayIdentifier(name: string): string {
  return PLAIN_NAME.test(name) ? name : quoteIdentifier(name);
}

/** A string literal that is right whatever standard_conforming_strings is. */
export function quoteLiteral(value: string): string {
  assert(!value.includes("\0"), "a literal with a NUL character");
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes("\\") ? `E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/**
 * The parts of a name that may be quoted and qualified: `public."Odd.Name"` → ["public", "Odd.Name"]. Unquoted parts are
 * folded to lower case (ASCII letters only). Throws "usage" for anything else.
 */
export function parseQualifiedName(text: string): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  for (;;) {
    const match = /^\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/.exec(rest);
    if (match === null) {
      throw new OperatingError("usage", `invalid name "${text}"`, {
        hint: 'Write NAME or SCHEMA.NAME, with double quotes around a part that holds anything odd: "Odd Name".',
      });
    }
    const [whole, quoted, plain, end] = match;
    parts.push(quoted?.replaceAll('""', '"') ?? foldCase(plain as string));
    if (end === "") return parts;
    rest = rest.slice(whole.length);
  }
}

function foldCase(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
