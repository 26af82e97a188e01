// Compares the rows of every table: those that are stored with those that the restored database sends, by count and by
// the sum of their hashes. Both sides are read at once, several tables side by side; memory is some pieces for each.

import type { ArchiveContents, TocEntry } from "../../archive/index.ts";
import { isOperatingError, messageOf } from "../../base/errors.ts";
import { ServerError, type Session } from "../../postgres/index.ts";
import type { Difference } from "./difference.ts";
import { addTotals, RowSum, type RowTotal } from "./row-sum.ts";
import type { TableGroup } from "./table-groups.ts";

const PIECES_AHEAD = 3;

/** What came out for one table (or partition tree). */
export interface TableComparison {
  readonly name: string;
  /** Null when they could not be read. */
  readonly stored: RowTotal | null;
  readonly restored: RowTotal | null;
}

export interface CompareTablesOptions {
  readonly contents: ArchiveContents;
  readonly groups: readonly TableGroup[];
  /** Idle sessions with the settings of readSettings(); each takes one table at a time. */
  readonly sessions: readonly Session[];
  readonly signal: AbortSignal;
  readonly onTable?: (table: TableComparison) => void;
}

/** Compares; the tables in the order of the groups, and what is different. */
export async function compareTables(
  options: CompareTablesOptions,
): Promise<{ readonly tables: readonly TableComparison[]; readonly differences: readonly Difference[] }> {
  const { groups, sessions } = options;
  const results: (readonly [TableComparison, Difference | null])[] = [];
  let next = 0;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const loops = sessions.map(async (session) => {
    for (let index = next++; index < groups.length; index = next++) {
      const result = await compareTable({ ...options, signal }, groups[index]!, session);
      results[index] = result;
      options.onTable?.(result[0]);
    }
  });
  const ends = await Promise.allSettled(loops.map((loop) => loop.catch((error: unknown) => stop(failed, error))));
  options.signal.throwIfAborted();
  const end = ends.find((one) => one.status === "rejected");
  if (end !== undefined) throw failed.signal.reason;
  return {
    tables: results.map(([table]) => table),
    differences: results.flatMap(([, difference]) => difference ?? []),
  };
}

function stop(controller: AbortController, error: unknown): never {
  controller.abort(error);
  throw error;
}

type Side = { readonly total: RowTotal } | { readonly reason: string };

async function compareTable(
  { contents, signal }: CompareTablesOptions,
  group: TableGroup,
  session: Session,
): Promise<readonly [TableComparison, Difference | null]> {
  const [stored, restored] = await Promise.all([
    side(() => storedTotal(contents, group, signal), isDamage),
    side(() => restoredTotal(group, session, signal), isServerError),
  ]);
  const table: TableComparison = {
    name: group.name,
    stored: "total" in stored ? stored.total : null,
    restored: "total" in restored ? restored.total : null,
  };
  const what = whatDiffers(stored, restored);
  return [table, what === null ? null : { kind: "rows", name: group.name, what }];
}

function whatDiffers(stored: Side, restored: Side): string | null {
  if ("reason" in stored) return `could not be read from the repository: ${stored.reason}`;
  if ("reason" in restored) return `could not be read from the restored database: ${restored.reason}`;
  const [expected, found] = [stored.total, restored.total];
  if (expected.rowCount !== found.rowCount) return `has ${found.rowCount} rows, not ${expected.rowCount}`;
  if (expected.sum !== found.sum) return `has other contents: the sums of its ${found.rowCount} rows are not the same`;
  return null;
}

async function side(work: () => Promise<RowTotal>, isFinding: (error: unknown) => boolean): Promise<Side> {
  try {
    return { total: await work() };
  } catch (error) {
    if (isFinding(error)) return { reason: messageOf(error) };
    throw error;
  }
}

const isDamage = (error: unknown): boolean =>
  isOperatingError(error, "corrupt") || isOperatingError(error, "not_found");
const isServerError = (error: unknown): boolean =>
  error instanceof ServerError && !isOperatingError(error, "connection_lost");

async function storedTotal(contents: ArchiveContents, group: TableGroup, signal: AbortSignal): Promise<RowTotal> {
  const totals: RowTotal[] = [];
  for (const [index, entry] of group.entries.entries()) {
    const sum = new RowSum(group.entryPlaces[index] ?? null);
    for await (const text of loadedAhead(contents, entry, signal)) sum.push(text);
    totals.push(sum.finish());
  }
  return addTotals(totals);
}

async function* loadedAhead(
  contents: ArchiveContents,
  entry: TocEntry,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const underWay: Promise<Uint8Array>[] = [];
  try {
    for await (const piece of contents.tableData(entry, signal)) {
      const loading = piece.load(signal);
      loading.catch(() => {}); // its failure comes out when its turn comes
      underWay.push(loading);
      if (underWay.length >= PIECES_AHEAD) yield await underWay.shift()!;
    }
    while (underWay.length > 0) yield await underWay.shift()!;
  } finally {
    await Promise.allSettled(underWay);
  }
}

async function restoredTotal(group: TableGroup, session: Session, signal: AbortSignal): Promise<RowTotal> {
  const sum = new RowSum(group.statementPlaces);
  for await (const bytes of session.copyOut(group.statement, { signal })) sum.push(bytes);
  return sum.finish();
}
