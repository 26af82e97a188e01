// What WAL summaries name, ready to be asked by file. Holds what it is given by reference; nothing per segment is made.
// Source: docs/formats/incremental.md; walsummarizer.c, SummarizeDbaseRecord, SummarizeSmgrRecord.

import type { TouchedFile } from "../types.ts";

/** Touched blocks by file. */
export interface TouchedBlocks {
  /** Tablespaces in which the whole database counts as touched: it was made in, moved to or removed from there. */
  readonly movedTablespaces: ReadonlySet<number>;
  /** By `fileKey()`; most files have one entry. */
  readonly files: ReadonlyMap<string, readonly TouchedFile[]>;
}

/** Identifies a file within its database. */
export function fileKey(file: { readonly tablespaceOid: number; readonly filenode: number }): string {
  return `${file.tablespaceOid}/${file.filenode}`;
}

/** Makes the entries of one run findable; several of one file add up. */
export function touchedBlocks(entries: readonly TouchedFile[]): TouchedBlocks {
  const movedTablespaces = new Set<number>();
  const files = new Map<string, TouchedFile[]>();
  for (const entry of entries) {
    if (entry.filenode === 0) movedTablespaces.add(entry.tablespaceOid);
    const key = fileKey(entry);
    const known = files.get(key);
    if (known === undefined) files.set(key, [entry]);
    else known.push(entry);
  }
  return { movedTablespaces, files };
}
