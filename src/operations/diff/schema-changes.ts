// What changed in the definitions between two tables of contents. Pure.

import type { Toc, TocEntry } from "../../archive/index.ts";
import { entryName } from "../../restore/index.ts";
import type { SchemaChange, SequenceChange } from "./types.ts";
import { unifiedDiff } from "./unified-diff.ts";

/** Entries of data and of the session; sequences' positions and statistics are no definitions. */
const NO_DEFINITIONS = new Set([
  "TABLE DATA",
  "BLOBS",
  "SEQUENCE SET",
  "STATISTICS DATA",
  "ENCODING",
  "STDSTRINGS",
  "SEARCHPATH",
]);
const POSITION = /, (-?\d+), (true|false)\);\s*$/;

/** The changes in the order of the newer archive, what was removed last. */
export function schemaChanges(before: Toc, after: Toc): SchemaChange[] {
  const [old, young] = [definitionsOf(before), definitionsOf(after)];
  const changes: SchemaChange[] = [];
  for (const [name, text] of young) {
    const former = old.get(name);
    if (former === text) continue;
    changes.push({ name, change: former === undefined ? "added" : "changed", text: unifiedDiff(former ?? "", text) });
  }
  for (const [name, text] of old) {
    if (!young.has(name)) changes.push({ name, change: "removed", text: unifiedDiff(text, "") });
  }
  return changes;
}

function definitionsOf(toc: Toc): ReadonlyMap<string, string> {
  const definitions = new Map<string, string>();
  const counts = new Map<string, number>();
  for (const entry of toc.entries) {
    if (NO_DEFINITIONS.has(entry.description)) continue;
    const name = entryName(entry);
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    definitions.set(count === 1 ? name : `${name} (${count})`, textOf(entry));
  }
  return definitions;
}

function textOf(entry: TocEntry): string {
  const lines = [entry.definition.trim()];
  if (entry.owner !== "") lines.push(`-- Owner: ${entry.owner}`);
  if ((entry.tablespace ?? "") !== "") lines.push(`-- Tablespace: ${entry.tablespace}`);
  if ((entry.tableAccessMethod ?? "") !== "") lines.push(`-- Access method: ${entry.tableAccessMethod}`);
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}

/** Sequences that stand elsewhere. */
export function sequenceChanges(before: Toc, after: Toc): SequenceChange[] {
  const [old, young] = [positionsOf(before), positionsOf(after)];
  const names = new Set([...young.keys(), ...old.keys()]);
  return [...names].flatMap((name) => {
    const change = { name, before: old.get(name) ?? null, after: young.get(name) ?? null };
    return change.before === change.after ? [] : [change];
  });
}

function positionsOf(toc: Toc): ReadonlyMap<string, string> {
  const entries = toc.entries.filter(({ description }) => description === "SEQUENCE SET");
  return new Map(
    entries.map(({ namespace, tag, definition }) => {
      const match = POSITION.exec(definition);
      return [`${namespace ?? ""}.${tag}`, match === null ? definition.trim() : `${match[1]}, ${match[2]}`];
    }),
  );
}
