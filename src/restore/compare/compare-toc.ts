// Compares two tables of contents, entry by entry: the archive's, and one that the same pg_dump wrote of the restored
// database. Differences that PostgreSQL itself makes are excused by name where they are exact. Another pg_dump judges by a
// third table of contents, a reference: what it writes of a database made of the archive's definitions alone. Pure.
// Not compared: OIDs, dump ids, dependencies (numbers of one run), statistics (estimates), positions of sequences (looked
// at themselves).

import type { Toc, TocEntry } from "../../archive/index.ts";
import { entryName, type Difference, type Excused, type NotCompared } from "./difference.ts";
import { TOC_EXCEPTIONS, type EntryPair, type TocVersions } from "./toc-exceptions.ts";

const LEFT_OUT = new Set(["STATISTICS DATA", "SEQUENCE SET"]);
/** Characters of a definition that are shown. */
const SHOWN_LENGTH_MAX = 4000;

const FIELDS = [
  "definition",
  "owner",
  "tablespace",
  "tableAccessMethod",
  "relationKind",
  "copyStatement",
  "hadDumper",
] as const satisfies readonly (keyof TocEntry)[];

type Field = (typeof FIELDS)[number];
type Fields = readonly (Field | "presence")[];

export interface TocComparison {
  readonly comparedCount: number;
  readonly differences: readonly Difference[];
  readonly excused: readonly Excused[];
  readonly notCompared: readonly NotCompared[];
}

/** What another pg_dump than the archive's needs to judge. */
export interface WordingReference {
  /** What that pg_dump writes of a database that was made of the archive's definitions alone. */
  readonly toc: Toc;
  /** Why the two word things otherwise, e.g. "pg_dump 18.3 words it otherwise than 18.6". */
  readonly reason: string;
}

/** Kinds of differences that come of the wording; whose something is, is never one. */
const WORDED: ReadonlySet<string> = new Set(["definition", "copyStatement", "relationKind", "hadDumper"]);

/** Compares the entries of the same kind, schema and tag; several of the same in their order. */
export function compareTocs(
  archive: Toc,
  restored: Toc,
  versions: TocVersions,
  reference: WordingReference | null = null,
): TocComparison {
  const [expected, found] = [entriesByName(archive), entriesByName(restored)];
  const judged = reference && entriesByName(reference.toc);
  const differences: Difference[] = [];
  const excused: Excused[] = [];
  const notCompared: NotCompared[] = [];
  for (const name of new Set([...expected.keys(), ...found.keys()])) {
    const pair = { expected: expected.get(name) ?? null, found: found.get(name) ?? null };
    const fields = differingFields(pair.expected, pair.found);
    if (fields.length === 0) continue;
    const exception = TOC_EXCEPTIONS.find((one) => one.covers(pair, fields, versions));
    const wording = judged === null ? "different" : judgeWording(pair, fields, judged.get(name) ?? null);
    const reason = reference?.reason ?? "";
    if (exception !== undefined) excused.push({ name, reason: exception.reason });
    else if (wording === "worded")
      excused.push({ name, reason: `${reason}; the archive's definitions give the same here` });
    else if (wording === "not written") notCompared.push({ name, reason: `${reason}: it writes no such entry here` });
    else differences.push(describe(name, pair, fields));
  }
  return { comparedCount: expected.size - notCompared.length, differences, excused, notCompared };
}

/** Whether a difference is only that of two programs: the reference, made of the archive, is as the restored database. */
function judgeWording(
  { expected, found }: EntryPair,
  fields: Fields,
  reference: TocEntry | null,
): "worded" | "not written" | "different" {
  // A reference has none, since it has no data.
  if (isOfLargeObject((expected ?? found)!)) return "different";
  if (differingFields(reference, found).length > 0) return "different";
  if (found === null) return "not written";
  return expected === null || fields.every((field) => WORDED.has(field)) ? "worded" : "different";
}

function isOfLargeObject({ description, tag }: TocEntry): boolean {
  return description.startsWith("BLOB") || /^LARGE OBJECTS? \d/.test(tag);
}

function entriesByName(toc: Toc): Map<string, TocEntry> {
  const entries = new Map<string, TocEntry>();
  const counts = new Map<string, number>();
  for (const entry of toc.entries) {
    if (LEFT_OUT.has(entry.description)) continue;
    const name = entryName(entry);
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    entries.set(count === 1 ? name : `${name} (${count})`, entry);
  }
  return entries;
}

function differingFields(expected: TocEntry | null, found: TocEntry | null): Fields {
  if (expected === null || found === null) return expected === found ? [] : ["presence"];
  return FIELDS.filter((field) => (expected[field] ?? "") !== (found[field] ?? ""));
}

function describe(
  name: string,
  { expected, found }: { readonly expected: TocEntry | null; readonly found: TocEntry | null },
  fields: Fields,
): Difference {
  const shown = (entry: TocEntry | null): string | null => (entry === null ? null : describeEntry(entry, fields));
  const what =
    found === null
      ? "is missing"
      : expected === null
        ? "is not in the archive"
        : `has another ${fields.map((field) => FIELD_WORDS[field] ?? field).join(", ")}`;
  return { kind: "entry", name, what, expected: shown(expected), found: shown(found) };
}

const FIELD_WORDS: Readonly<Record<string, string>> = {
  tableAccessMethod: "access method",
  relationKind: "kind of relation",
  copyStatement: "list of columns",
  hadDumper: "state of its data",
};

function describeEntry(entry: TocEntry, fields: Fields): string {
  const shown = fields.map((field): Field => (field === "presence" ? "definition" : field));
  const text = shown.map((field) => `${entry[field] ?? ""}`.trim()).join("\n");
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX)}…`;
}
