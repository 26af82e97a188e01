// The text of a --filter file as pg_restore reads it: lines `include|exclude KIND NAME`.
// Source: filter.c (18), filter_read_item, read_pattern; pg_restore.c, read_restore_filters.

import { OperatingError } from "../base/errors.ts";

/** The names that a filter file gives. */
export interface FilterNames {
  readonly schemas: readonly string[];
  readonly excludeSchemas: readonly string[];
  readonly tables: readonly string[];
  readonly indexes: readonly string[];
  readonly functions: readonly string[];
  readonly triggers: readonly string[];
}

const INCLUDES = {
  function: "functions",
  index: "indexes",
  schema: "schemas",
  table: "tables",
  trigger: "triggers",
} as const;

const KINDS = new Set([
  ...Object.keys(INCLUDES),
  "table_data",
  "table_data_and_children",
  "database",
  "extension",
  "foreign_data",
  "table_and_children",
]);

/** Reads a filter file's text. Throws OperatingError "usage" with the line number for what pg_restore refuses. */
export function parseFilter(text: string): FilterNames {
  const names: Record<keyof FilterNames, string[]> = {
    schemas: [],
    excludeSchemas: [],
    tables: [],
    indexes: [],
    functions: [],
    triggers: [],
  };
  const reader = new FilterReader(text);
  for (let item = reader.next(); item !== null; item = reader.next()) {
    const { command, kind, pattern } = item;
    if (command === "exclude") {
      if (kind !== "schema") throw reader.error(`exclude filter for "${kind.replaceAll("_", " ")}" is not allowed`);
      names.excludeSchemas.push(pattern);
    } else {
      const list = Object.hasOwn(INCLUDES, kind) ? INCLUDES[kind as keyof typeof INCLUDES] : null;
      if (list === null) throw reader.error(`include filter for "${kind.replaceAll("_", " ")}" is not allowed`);
      names[list].push(pattern);
    }
  }
  return names;
}

interface FilterItem {
  readonly command: "include" | "exclude";
  readonly kind: string;
  readonly pattern: string;
}

const SPACE = /\s/;

class FilterReader {
  readonly #lines: readonly string[];
  #lineIndex = 0;

  constructor(text: string) {
    this.#lines = text.split("\n");
  }

  error(problem: string): OperatingError {
    return new OperatingError("usage", `invalid format in filter on line ${this.#lineIndex}: ${problem}`);
  }

  next(): FilterItem | null {
    while (this.#lineIndex < this.#lines.length) {
      const line = (this.#lines[this.#lineIndex] ?? "").trimStart();
      this.#lineIndex += 1;
      if (line !== "" && !line.startsWith("#")) return this.#item(line);
    }
    return null;
  }

  #item(line: string): FilterItem {
    const match = /^(\S+)\s*(\S*)/.exec(line);
    const command = match?.[1]?.toLowerCase();
    if (command !== "include" && command !== "exclude") {
      throw this.error('invalid filter command (expected "include" or "exclude")');
    }
    const kind = match?.[2]?.toLowerCase() ?? "";
    if (kind === "") throw this.error("missing filter object type");
    if (!KINDS.has(kind)) throw this.error(`unsupported filter object type: "${match?.[2]}"`);
    return { command, kind, pattern: this.#pattern(line.slice(match?.[0].length ?? 0).trimStart()) };
  }

  /** A name, cleaned of needless space, up to a comment or the end of the line. Quoted parts may hold line ends. */
  #pattern(start: string): string {
    let rest = start;
    if (rest === "") throw this.error("missing object name pattern");
    let pattern = "";
    let skipSpace = true;
    let foundSpace = false;
    while (rest !== "" && !rest.startsWith("#")) {
      const plain = /^[^\s#,.()"]*/.exec(rest)?.[0] ?? "";
      if (plain !== "") {
        if (!skipSpace && foundSpace) pattern += " ";
        pattern += plain;
        rest = rest.slice(plain.length);
      }
      skipSpace = false;
      const next = rest[0];
      if (next === '"') {
        if (foundSpace && plain === "") pattern += " ";
        const quoted = this.#quoted(rest);
        pattern += quoted.text;
        rest = quoted.rest;
      } else if (next === ",") {
        pattern += ", ";
        skipSpace = true;
        rest = rest.slice(1);
      } else if (next === "." || next === "(" || next === ")") {
        pattern += next;
        skipSpace = true;
        rest = rest.slice(1);
      }
      foundSpace = SPACE.test(rest[0] ?? "");
      rest = rest.trimStart();
    }
    return pattern;
  }

  #quoted(start: string): { readonly text: string; readonly rest: string } {
    let text = '"';
    let rest = start.slice(1);
    for (;;) {
      if (rest === "") {
        const line = this.#lines[this.#lineIndex];
        if (line === undefined) throw this.error("unexpected end of file");
        this.#lineIndex += 1;
        text += "\n";
        rest = line === "" ? "" : line;
        continue;
      }
      const next = rest[0] as string;
      if (next === '"') {
        text += '"';
        rest = rest.slice(1);
        if (!rest.startsWith('"')) return { text, rest };
        text += '"';
        rest = rest.slice(1);
      } else if (next === "\\") {
        if (rest[1] === "n") text += "\n";
        else if (rest[1] === "\\") text += "\\";
        rest = rest.slice(2);
      } else {
        if (next !== "\r") text += next;
        rest = rest.slice(1);
      }
    }
  }
}
