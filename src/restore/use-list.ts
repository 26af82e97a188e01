// The list of --use-list, applied: which entries, in which order.
// Source: pg_backup_archiver.c (18), SortTocFromFile.

import { parseListFile, type TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";

/** The archive's entries as a list orders them. */
export interface ListOrder {
  /** All entries: those not in the list first, then the list's. */
  readonly ordered: readonly TocEntry[];
  readonly listed: ReadonlySet<number>;
  /** A sentence for each line that was not understood. */
  readonly warnings: readonly string[];
}

/** Orders entries by the text of a list. Throws OperatingError "usage" when it names an entry that is not there. */
export function orderByList(entries: readonly TocEntry[], text: string): ListOrder {
  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
  const dumpIdMax = entries.reduce((max, entry) => Math.max(max, entry.dumpId), 0);
  const { dumpIds, ignoredLines } = parseListFile(text, dumpIdMax);
  const chosen = dumpIds.map((id) => {
    const entry = byId.get(id);
    if (entry === undefined) throw new OperatingError("usage", `could not find entry for ID ${id}`);
    return entry;
  });
  const listed = new Set(dumpIds);
  return {
    ordered: [...entries.filter((entry) => !listed.has(entry.dumpId)), ...chosen],
    listed,
    warnings: ignoredLines.map((line) => `line ${line.lineNumber} of the list ignored: ${line.text.trim()}`),
  };
}
