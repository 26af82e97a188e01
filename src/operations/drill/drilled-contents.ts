// A restore point as a drill restores it: the archive as its place needs it, without the rows of foreign tables, which a
// restore would write to other servers.

import type { ArchiveContents, DataPiece, LargeObjectPiece, Toc, TocEntry } from "../../archive/index.ts";
import type { RestorePoint } from "../../repository/index.ts";
import { entryName, type NotCompared } from "../../restore/index.ts";
import type { RestorePointContents } from "../restore-point-contents.ts";

export class DrilledContents implements ArchiveContents {
  /** Changed once, when the place is known. */
  toc: Toc;
  readonly isSeekable = true;
  readonly notCompared: readonly NotCompared[];
  readonly #stored: RestorePointContents;

  constructor(stored: RestorePointContents) {
    this.#stored = stored;
    const foreign = foreignData(stored.toc);
    this.toc = { ...stored.toc, entries: stored.toc.entries.filter((entry) => !foreign.has(entry)) };
    const reason = "the rows of a foreign table are not loaded: that would write to its server";
    this.notCompared = [...foreign].map((entry) => ({ name: entryName(entry), reason }));
  }

  get restorePoint(): RestorePoint {
    return this.#stored.restorePoint;
  }

  get sizes(): ReadonlyMap<number, number> {
    return this.#stored.sizes;
  }

  tableData(entry: TocEntry, signal?: AbortSignal): AsyncIterable<DataPiece> {
    return this.#stored.tableData(entry, signal);
  }

  largeObjects(entry: TocEntry, signal?: AbortSignal): AsyncIterable<LargeObjectPiece> {
    return this.#stored.largeObjects(entry, signal);
  }
}

function foreignData({ entries }: Toc): ReadonlySet<TocEntry> {
  const keyOf = ({ namespace, tag }: TocEntry): string => JSON.stringify([namespace, tag]);
  const tables = new Set(entries.filter(({ description }) => description === "FOREIGN TABLE").map(keyOf));
  return new Set(entries.filter((entry) => entry.description === "TABLE DATA" && tables.has(keyOf(entry))));
}
