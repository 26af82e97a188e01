// Whether a restore point holds far less than those before it: an emptied table, a wrong database, a filter that takes too
// much. The restore point is kept; the finding is told, kept in its manifest, and makes the exit status 3. Pure.
// The whole is held against the median of the last few restore points (one that dropped does not become the measure at
// once), each table against the newest one.

import { formatCount, formatSize } from "../../base/units.ts";

/** Tables with fewer rows before are not looked at: small ones come and go. */
const TABLE_ROWS_MIN = 1000;
/** Bytes from which on the size of the whole is looked at. */
const TOTAL_BYTES_MIN = 64 * 1024;
const TOTAL_ROWS_MIN = 1000;
const LARGE_OBJECTS_MIN = 100;
/** Findings about tables told one by one. */
const TABLES_SHOWN_MAX = 20;

/** How much less is too much, in percent of what was before; null: any drop is fine. */
export interface DropLimits {
  readonly totalPercent: number | null;
  readonly tablePercent: number | null;
}

export const DROP_LIMITS_DEFAULT: DropLimits = { totalPercent: 50, tablePercent: 90 };

/** What a drop is looked for in. */
export interface Amounts {
  readonly rows: number;
  readonly rawBytes: number;
  readonly largeObjects: number;
}

export interface TableRows {
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  readonly rowCount: number;
}

export interface DropFinding {
  readonly code: "drop-rows" | "drop-size" | "drop-large-objects" | "drop-table";
  readonly message: string;
}

export interface DropFacts {
  readonly now: Amounts & { readonly tables: readonly TableRows[] };
  /** The last restore points of the lineage, taken with the same selection. */
  readonly before: readonly Amounts[];
  /** Tables of the newest of them, without partitions that are detached or dropped by now. */
  readonly tablesBefore: readonly TableRows[];
}

/** The findings, those of the whole first. */
export function findDrops(facts: DropFacts, limits: DropLimits): DropFinding[] {
  return [...totalDrops(facts, limits.totalPercent), ...tableDrops(facts, limits.tablePercent)];
}

function totalDrops({ now, before }: DropFacts, limit: number | null): DropFinding[] {
  if (limit === null || before.length === 0) return [];
  const drop = (code: DropFinding["code"], key: keyof Amounts, minimum: number): DropFinding[] => {
    const usual = medianOf(before.map((amounts) => amounts[key]));
    if (usual < minimum || !isDrop(usual, now[key], limit)) return [];
    const show = key === "rawBytes" ? formatSize : formatCount;
    const noun = { rows: " rows", rawBytes: " of rows and large objects", largeObjects: " large objects" }[key];
    const measure = before.length === 1 ? "the restore point before" : `the last ${before.length} restore points`;
    return [
      {
        code,
        message: `there are ${show(now[key])}${noun}, ${percentLess(usual, now[key])} less than in ${measure} (${show(usual)})`,
      },
    ];
  };
  return [
    ...drop("drop-rows", "rows", TOTAL_ROWS_MIN),
    ...drop("drop-size", "rawBytes", TOTAL_BYTES_MIN),
    ...drop("drop-large-objects", "largeObjects", LARGE_OBJECTS_MIN),
  ];
}

function tableDrops({ now, tablesBefore }: DropFacts, limit: number | null): DropFinding[] {
  if (limit === null) return [];
  const byName = new Map(now.tables.map((table) => [nameOf(table), table]));
  const byOid = new Map(now.tables.map((table) => [table.oid, table]));
  const findings = tablesBefore.flatMap((former): DropFinding[] => {
    if (former.rowCount < TABLE_ROWS_MIN) return [];
    const table = byName.get(nameOf(former)) ?? byOid.get(former.oid);
    const name = nameOf(former);
    if (table === undefined) {
      return [
        {
          code: "drop-table",
          message: `table ${name} is not there any more; it had ${formatCount(former.rowCount)} rows`,
        },
      ];
    }
    if (!isDrop(former.rowCount, table.rowCount, limit)) return [];
    const less = percentLess(former.rowCount, table.rowCount);
    const [rows, before] = [formatCount(table.rowCount), formatCount(former.rowCount)];
    return [{ code: "drop-table", message: `table ${name} has ${rows} rows, ${less} less than before (${before})` }];
  });
  if (findings.length <= TABLES_SHOWN_MAX) return findings;
  const rest = findings.length - TABLES_SHOWN_MAX;
  const more: DropFinding = { code: "drop-table", message: `${formatCount(rest)} more tables dropped as much` };
  return [...findings.slice(0, TABLES_SHOWN_MAX), more];
}

/** More than the limit gone; a limit of 100 is reached by nothing at all. */
function isDrop(before: number, now: number, limitPercent: number): boolean {
  if (now >= before) return false;
  const lostPercent = (100 * (before - now)) / before;
  return lostPercent > limitPercent || now === 0;
}

function percentLess(before: number, now: number): string {
  return `${((100 * (before - now)) / before).toFixed(now === 0 ? 0 : 1)} %`;
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : Math.floor((sorted[middle - 1]! + sorted[middle]!) / 2);
}

function nameOf({ namespace, name }: TableRows): string {
  return `${namespace}.${name}`;
}
