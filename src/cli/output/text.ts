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

/** Tables with their rows and sizes, below an empty line; nothing when there are none. */
export function tableRowLines(
  tables: readonly { readonly name: string; readonly rowCount: number; readonly rawBytes: number }[],
): string[] {
  if (tables.length === 0) return [];
  const rows = tables.map(({ name, rowCount, rawBytes }) => [name, formatCount(rowCount), formatSize(rawBytes)]);
  const columns: Column[] = [
    { heading: "table" },
    { heading: "rows", align: "right" },
    { heading: "data", align: "right" },
  ];
  return ["", ...tableLines(columns, rows)];
}
