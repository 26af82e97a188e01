// Reads a list file for `--use-list`: lines of `pg_restore --list`, perhaps reordered, deleted or commented out.
// Source: pg_backup_archiver.c, SortTocFromFile.

import { OperatingError } from "../base/errors.ts";
import { DUMP_ID_MAX, LIST_FILE_LENGTH_MAX } from "./limits.ts";

/** What a list file says. */
export interface ListFile {
  /** In the order of the file, each once. Whether the archive has them is for the caller to check. */
  readonly dumpIds: readonly number[];
  /** Lines that hold something else than a comment but no new dump id; pg_restore warns and goes on. */
  readonly ignoredLines: readonly { readonly lineNumber: number; readonly text: string }[];
}

/**
 * Parses a list file. A line counts up to its first semicolon; the number at its start is the dump id. Ids above
 * `dumpIdMax`, the archive's highest, are ignored lines as in pg_restore.
 */
export function parseListFile(text: string, dumpIdMax = DUMP_ID_MAX): ListFile {
  if (text.length > LIST_FILE_LENGTH_MAX) {
    throw new OperatingError(
      "usage",
      `could not read the list file: it is longer than ${LIST_FILE_LENGTH_MAX} characters`,
    );
  }
  const dumpIds = new Set<number>();
  const ignoredLines: { lineNumber: number; text: string }[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const beforeComment = line.split(";", 1)[0] ?? "";
    if (/^[ \t\r\n]*$/.test(beforeComment)) continue;
    const digits = /^[ \t\n\v\f\r]*([+-]?[0-9]+)/.exec(beforeComment)?.[1];
    const dumpId = digits === undefined ? 0 : Number(digits);
    if (dumpId <= 0 || dumpId > dumpIdMax || dumpIds.has(dumpId)) {
      ignoredLines.push({ lineNumber: index + 1, text: beforeComment });
      continue;
    }
    dumpIds.add(dumpId);
  }
  return { dumpIds: [...dumpIds], ignoredLines };
}
