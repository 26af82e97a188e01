// What a --filter file says to pg_restore.
// Source: pg_restore.c (18), read_restore_filters.

import { filterNotAllowed, parseFilterItems } from "../archive/index.ts";

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
  for (const item of parseFilterItems(text)) {
    if (item.command === "exclude") {
      if (item.kind !== "schema") throw filterNotAllowed(item);
      names.excludeSchemas.push(item.pattern);
    } else {
      const list = Object.hasOwn(INCLUDES, item.kind) ? INCLUDES[item.kind as keyof typeof INCLUDES] : null;
      if (list === null) throw filterNotAllowed(item);
      names[list].push(item.pattern);
    }
  }
  return names;
}
