// What a check says: one sentence, the cure, and where the cure is SQL, the exact statements. Lists are bounded here, so
// that ten thousand tables do not become ten thousand lines.

import { displayIdentifier } from "../../postgres/index.ts";

/** One thing looked at. `blocking` ones would make a backup incomplete or impossible. */
export interface Finding {
  readonly severity: "ok" | "info" | "warning" | "blocking";
  /** Stable name, e.g. "table-privilege". */
  readonly code: string;
  /** One sentence, one line. */
  readonly message: string;
  readonly detail?: string | undefined;
  /** The cure, a sentence. */
  readonly hint?: string | undefined;
  /** Exact statements that cure it, e.g. GRANTs. */
  readonly statements?: readonly string[] | undefined;
}

/** Names spelled out in a message, and in a detail. */
const MESSAGE_NAME_COUNT_MAX = 5;
const DETAIL_NAME_COUNT_MAX = 100;

/** A schema-qualified name. */
export interface QualifiedName {
  readonly schema: string;
  readonly name: string;
}

/** A qualified name for people, on one line: control characters are shown as \n, \r, \u0007. */
export function displayName({ schema, name }: QualifiedName): string {
  return `${displayPart(schema)}.${displayPart(name)}`;
}

/** One name for people, on one line. */
export function displayPart(name: string): string {
  return displayIdentifier(name).replaceAll(/\p{Cc}/gu, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\r") return "\\r";
    if (character === "\t") return "\\t";
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** The first names, and how many more: `a, b, c and 12 more`. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, MESSAGE_NAME_COUNT_MAX).join(", ");
  const rest = names.length - MESSAGE_NAME_COUNT_MAX;
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}

/** The sentence with the names that listNames() left out; undefined when it left none. */
export function namesDetail(names: readonly string[]): string | undefined {
  if (names.length <= MESSAGE_NAME_COUNT_MAX) return undefined;
  const rest = names.length - DETAIL_NAME_COUNT_MAX;
  return `All: ${names.slice(0, DETAIL_NAME_COUNT_MAX).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}.`;
}

/** A count with its noun: `1 table`, `3 tables`, `2 policies`. */
export function countOf(count: number, noun: string): string {
  const plural = noun.endsWith("y") ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count.toLocaleString("en-US")} ${count === 1 ? noun : plural}`;
}

/** Sentences of a detail or hint, in one text; undefined when there is none. */
export function joinSentences(...sentences: readonly (string | undefined)[]): string | undefined {
  const present = sentences.filter((sentence) => sentence !== undefined && sentence !== "");
  return present.length === 0 ? undefined : present.join(" ");
}
