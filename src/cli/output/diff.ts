// What diff prints: definitions that changed, as hunks, then amounts.

import { formatCount, formatSize } from "../../base/units.ts";
import type { DiffReport, DiffSide, SchemaChange, TableAmount, TableChange } from "../../operations/diff/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, formatTime, joinLines, listLines, tableLines } from "./text.ts";
import type { Column } from "./text.ts";

const COLUMNS: readonly Column[] = [
  { heading: "table" },
  { heading: "rows before", align: "right" },
  { heading: "after", align: "right" },
  { heading: "data before", align: "right" },
  { heading: "after", align: "right" },
  { heading: "segments touched", align: "right" },
];

/** The report. */
export function renderDiff(report: DiffReport): string {
  const { schema, tables, sequences, largeObjects } = report;
  const rows = tables.map(rowOf);
  return joinLines([
    ...fieldLines([
      ["before", sideText(report.before)],
      ["after", sideText(report.after)],
      ["definitions", countsOf(schema)],
      [
        "tables",
        `${formatCount(tables.length)} with other rows, ${formatCount(report.unchangedTableCount)} with the same`,
      ],
      ["large objects", largeObjectsText(largeObjects)],
    ]),
    ...schema.flatMap(changeLines),
    ...(rows.length === 0 ? [] : ["", ...tableLines(COLUMNS, rows)]),
    ...listLines(
      "Sequences",
      sequences.map(({ name, before, after }) => `${name}: ${before ?? "none"} → ${after ?? "none"}`),
    ),
  ]);
}

function sideText({ id, lineage, snapshotTakenAt, rowCount, rawBytes }: DiffSide): string {
  const amount = `${countOf(rowCount, "row")}, ${formatSize(rawBytes)}`;
  return `${id}, ${lineage}, snapshot of ${formatTime(snapshotTakenAt)}: ${amount}`;
}

function countsOf(schema: readonly SchemaChange[]): string {
  const count = (change: SchemaChange["change"]): string => {
    return formatCount(schema.filter((one) => one.change === change).length);
  };
  return `${count("added")} added, ${count("removed")} removed, ${count("changed")} changed`;
}

function largeObjectsText({ before, after, isChanged }: DiffReport["largeObjects"]): string {
  const text = ({ count, rawBytes }: { readonly count: number; readonly rawBytes: number }): string =>
    `${formatCount(count)} (${formatSize(rawBytes)})`;
  return isChanged ? `${text(before)} → ${text(after)}` : `${text(after)}, the same`;
}

function changeLines({ name, change, text }: SchemaChange): string[] {
  const lines = text.split("\n").slice(0, -1);
  return ["", `${sanitizeLine(name)} ${change}`, ...lines.map(sanitizeLine)];
}

function rowOf({ name, before, after, segmentsTouched, segmentCount }: TableChange): string[] {
  const rows = (amount: TableAmount | null): string => (amount === null ? "–" : formatCount(amount.rowCount));
  const size = (amount: TableAmount | null): string => (amount === null ? "–" : formatSize(amount.rawBytes));
  const segments = `${formatCount(segmentsTouched)} of ${formatCount(segmentCount)}`;
  return [name, rows(before), rows(after), size(before), size(after), segments];
}
