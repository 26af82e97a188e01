// The text of a listing cache. Lines: a title; the names of packs, a JSON array; for each manifest `[name, size, version,
// ranges of packs or null]` and its summary, JSON as in the manifest; "marks"; for each mark `[name, size, version, facts]`.
// What does not read is no cache. Pure.

import type { StoredObject } from "../../storage/index.ts";
import { isPackName } from "../identifiers.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { CACHE_TEXT_BYTES_MAX } from "./cache-file.ts";
import { PackTable } from "./pack-table.ts";
import type { PackRanges, PackSet } from "./pack-table.ts";

const TITLE = "cairn listing cache 1";
const MARKS_LINE = "marks";
const LINE_END = 0x0a;
const LINE_END_BYTES = Buffer.of(LINE_END);
/** The title, the line before the marks, and a manifest's packs that are counted before it turns out not to fit. */
const ROOM_OF_TITLES = 4096;

/** A manifest as far as it was read. */
export interface CachedManifest {
  readonly object: StoredObject;
  /** Null: only its text was read so far. */
  summary: RestorePointSummary | null;
  readonly text: Uint8Array | null;
  /** Null: not known. */
  readonly packs: PackSet | null;
  /** Read from the storage by this process. */
  readonly isFresh: boolean;
}

/** What listing says of a mark. */
export interface MarkFacts {
  /** ISO 8601. */
  readonly at: string;
}

export interface CachedMark {
  readonly object: StoredObject;
  readonly facts: MarkFacts;
}

/** All that a cache holds. */
export interface Listing {
  readonly manifests: readonly CachedManifest[];
  readonly marks: readonly CachedMark[];
}

/** The newest manifests and then the newest marks, as far as there is room. */
export function encodeListing({ manifests, marks }: Listing): Uint8Array {
  const kept = new PackTable();
  const lines: Uint8Array[] = [];
  let roomBytes = CACHE_TEXT_BYTES_MAX - ROOM_OF_TITLES;
  for (const { object, packs, summary, text } of newestFirst(manifests)) {
    const before = kept.size;
    const ranges = packs && kept.rangesOf(packs.table.namesOf(packs.ranges));
    const pair = [Buffer.from(headOf(object, ranges)), text ?? Buffer.from(JSON.stringify(summary))];
    for (const name of kept.names.slice(before)) roomBytes -= name.length + 3;
    for (const line of pair) roomBytes -= line.length + 1;
    if (roomBytes < 0) break;
    lines.push(...pair);
  }
  lines.push(Buffer.from(MARKS_LINE));
  for (const { facts, object } of newestFirst(marks)) {
    const line = Buffer.from(headOf(object, facts));
    roomBytes -= line.length + 1;
    if (roomBytes < 0) break;
    lines.push(line);
  }
  const all = [Buffer.from(TITLE), Buffer.from(JSON.stringify(kept.names)), ...lines];
  return Buffer.concat(all.flatMap((line) => [line, LINE_END_BYTES]));
}

function headOf({ name, sizeBytes, version = "" }: StoredObject, last: unknown): string {
  return JSON.stringify([name, sizeBytes, version, last]);
}

/** Names end with an id, and ids begin with a time. */
function newestFirst<T extends { readonly object: StoredObject }>(all: readonly T[]): T[] {
  const keyOf = ({ object: { name } }: T): string => /\d{8}T[^/]*$/.exec(name)?.[0] ?? "";
  const keyed = all.map((one) => ({ one, key: keyOf(one) }));
  return keyed.toSorted((one, other) => (one.key < other.key ? 1 : -1)).map(({ one }) => one);
}

/** The listing of a text; null when it is none. */
export function decodeListing(text: Uint8Array): Listing | null {
  const lines = linesOf(Buffer.from(text.buffer, text.byteOffset, text.length));
  const next = (): Buffer | null => lines.next().value ?? null;
  try {
    if (textOf(next()) !== TITLE) return null;
    const names = JSON.parse(textOf(next())) as unknown;
    if (!Array.isArray(names) || !names.every((name) => typeof name === "string" && isPackName(name))) return null;
    const table = new PackTable();
    for (const name of names as string[]) table.add(name);
    if (table.size !== names.length) return null;
    const manifests: CachedManifest[] = [];
    for (let line = next(); line !== null && textOf(line) !== MARKS_LINE; line = next()) {
      manifests.push(manifestOf(textOf(line), next()!, table));
    }
    const marks: CachedMark[] = [];
    for (let line = next(); line !== null; line = next()) marks.push(markOf(textOf(line)));
    return { manifests, marks };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}

function* linesOf(text: Buffer): Generator<Buffer, null> {
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    end = text.indexOf(LINE_END, start);
    if (end < 0) break;
    yield text.subarray(start, end);
  }
  return null;
}

function textOf(line: Buffer | null): string {
  return line?.toString("utf8") ?? "";
}

function manifestOf(head: string, text: Uint8Array, table: PackTable): CachedManifest {
  const [object, ranges] = objectOf(head);
  const packs = ranges === null ? null : { table, ranges: rangesWithin(table, ranges) };
  return { object, summary: null, text, packs, isFresh: false };
}

function markOf(head: string): CachedMark {
  const [object, facts] = objectOf(head);
  const at = (facts as MarkFacts | null)?.at;
  if (typeof at !== "string") throw new TypeError("a mark has a time");
  return { object, facts: { at } };
}

function objectOf(head: string): readonly [StoredObject, unknown] {
  const [name, sizeBytes, version, last] = JSON.parse(head) as readonly unknown[];
  const isObject = typeof name === "string" && Number.isSafeInteger(sizeBytes) && typeof version === "string";
  if (!isObject) throw new TypeError("an object has a name, a size and a version");
  return [{ name, sizeBytes: sizeBytes as number, version }, last ?? null];
}

function rangesWithin({ size }: PackTable, ranges: unknown): PackRanges {
  const isRanges =
    Array.isArray(ranges) &&
    ranges.length % 2 === 0 &&
    ranges.every((value, index) => Number.isInteger(value) && value >= (ranges[index - 1] ?? 0) && value < size);
  if (!isRanges) throw new TypeError("ranges ascend within the table");
  return ranges as PackRanges;
}
