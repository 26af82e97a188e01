// The lines of a --filter file of pg_dump and pg_restore: `include|exclude KIND PATTERN`, `#` begins a comment (pure).
// Which kinds may be included or excluded is for each program to say.
// Source: PostgreSQL manual, "pg_dump", --filter; filter.c (17, 18), filter_read_item, read_pattern.

import { OperatingError } from "../base/errors.ts";

/** What a filter line may speak of. */
const FILTER_KINDS = [
  "extension",
  "foreign_data",
  "function",
  "index",
  "schema",
  "table",
  "table_and_children",
  "table_data",
  "table_data_and_children",
  "trigger",
  "database",
] as const;

export type FilterKind = (typeof FILTER_KINDS)[number];

/** One line of a filter file. */
export interface FilterItem {
  readonly command: "include" | "exclude";
  readonly kind: FilterKind;
  /** As the program's own option would take it. */
  readonly pattern: string;
  /** From 1; the line on which the item ends. */
  readonly lineNumber: number;
}

const SPACE = /\s/;

/** The items of a filter file in order. Throws OperatingError "usage" with the line number. */
export function parseFilterItems(text: string): FilterItem[] {
  const reader = new FilterReader(text);
  const items: FilterItem[] = [];
  for (let item = reader.next(); item !== null; item = reader.next()) items.push(item);
  return items;
}

function filterError(lineNumber: number, problem: string): OperatingError {
  return new OperatingError("usage", `invalid format in filter on line ${lineNumber}: ${problem}`);
}

/** The error for a kind that a program does not include or exclude. */
export function filterNotAllowed({ command, kind, lineNumber }: FilterItem): OperatingError {
  return filterError(lineNumber, `${command} filter for "${kind.replaceAll("_", " ")}" is not allowed`);
}

class FilterReader {
  readonly #lines: readonly string[];
  #lineIndex = 0;

  constructor(text: string) {
    this.#lines = text.split("\n");
  }

  error(problem: string): OperatingError {
    return filterError(this.#lineIndex, problem);
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
    const word = match?.[2] ?? "";
    if (word === "") throw this.error("missing filter object type");
    const kind = FILTER_KINDS.find((candidate) => candidate === word.toLowerCase());
    if (kind === undefined) throw this.error(`unsupported filter object type: "${word}"`);
    const pattern = this.#pattern(line.slice(match?.[0].length ?? 0).trimStart());
    return { command, kind, pattern, lineNumber: this.#lineIndex };
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
