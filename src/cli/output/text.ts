// Building blocks of text for people: labelled fields, tables, times. Every value is made safe for a terminal here.

import { formatCount, formatSize } from "../../base/units.ts";
import { cellWidth } from "./cell-width.ts";
import { sanitizeLine } from "./sanitize.ts";

/** A label and its value; null leaves the line out. */
export type Field = readonly [label: string, value: string | null];

/** Lines of labels and values, the values set below one another. */
export function fieldLines(fields: readonly Field[]): string[] {
  const shown = fields.filter((field): field is [string, string] => field[1] !== null);
  const width = Math.max(0, ...shown.map(([label]) => label.length));
  return shown.map(([label, value]) => `${label.padEnd(width)}  ${sanitizeLine(value)}`);
}

/** A column of a table. */
export interface Column {
  readonly heading: string;
  readonly align?: "left" | "right";
}

/** Lines of a table: headings, then rows; two spaces between columns. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const cells = [columns.map(({ heading }) => heading), ...rows.map((row) => row.map(sanitizeLine))];
  const widths = columns.map((_, index) =>
    cells.reduce((widest, row) => Math.max(widest, cellWidth(row[index] ?? "")), 0),
  );
  return cells.map((row) =>
    columns
      .map(({ align }, index) => pad(row[index] ?? "", widths[index] ?? 0, align ?? "left"))
      .join("  ")
      .trimEnd(),
  );
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const spaces = " ".repeat(Math.max(0, width - cellWidth(text)));
  return align === "left" ? text + spaces : spaces + text;
}

/** A list below a heading; nothing when it is empty. */
export function listLines(heading: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  return ["", `${heading}:`, ...items.map((item) => `  - ${sanitizeLine(item)}`)];
}

/** A time for people, in UTC: `2026-11-22 10:00:05 UTC`; text that is no time stays as it is. */
export function formatTime(time: string): string {
  const match = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d+)?Z$/.exec(time);
  return match === null ? time : `${match[1]} ${match[2]} UTC`;
}

/** Lines as one text. */
export function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** "1 row", "2 rows"; the number with thousands separated. */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** Which pg_dump it was. */
export function pgDumpText({ version, path }: { readonly version: string; readonly path: string | null }): string {
  return `${version}, ${path ?? "bundled"}`;
}

/** How many tables a receipt shows; with more, the largest of them and the sum of the others. --json has them all. */
export const TABLES_SHOWN_MAX = 30;

/** A table and what it holds; `rawBytes` where the operation counts it. */
interface TableCount {
  readonly name: string;
  readonly rowCount: number;
  readonly rawBytes?: number;
}

/** Tables with their rows and, where counted, sizes, below an empty line; nothing when there are none. */
export function tableRowLines(tables: readonly TableCount[]): string[] {
  if (tables.length === 0) return [];
  const hasSizes = tables.some(({ rawBytes }) => rawBytes !== undefined);
  const columns: Column[] = [{ heading: "table" }, { heading: "rows", align: "right" }];
  if (hasSizes) columns.push({ heading: "data", align: "right" });
  const { shown, rest } = largestTables(tables);
  const rows = shown.map((table) => [table.name, ...countCells(table)]);
  return ["", ...tableLines(columns, rows), ...(rest === null ? [] : [`and ${rest}`])];
}

function countCells({ rowCount, rawBytes }: TableCount): string[] {
  return [formatCount(rowCount), ...(rawBytes === undefined ? [] : [formatSize(rawBytes)])];
}

/** All tables in their order; of too many, the largest, and what the others hold together. */
function largestTables(tables: readonly TableCount[]): {
  readonly shown: readonly TableCount[];
  readonly rest: string | null;
} {
  if (tables.length <= TABLES_SHOWN_MAX) return { shown: tables, rest: null };
  const sorted = tables.toSorted((a, b) => (b.rawBytes ?? 0) - (a.rawBytes ?? 0) || b.rowCount - a.rowCount);
  const others = sorted.slice(TABLES_SHOWN_MAX);
  const rowCount = others.reduce((sum, table) => sum + table.rowCount, 0);
  const sizes = others.flatMap(({ rawBytes }) => rawBytes ?? []);
  const rawBytes = sizes.reduce((sum, size) => sum + size, 0);
  const held = sizes.length === 0 ? countOf(rowCount, "row") : `${countOf(rowCount, "row")}, ${formatSize(rawBytes)}`;
  return {
    shown: sorted.slice(0, TABLES_SHOWN_MAX),
    rest: `${formatCount(others.length)} more: ${held} (--json lists them all)`,
  };
}
