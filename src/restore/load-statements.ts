// Rows that pg_dump wrote as INSERT statements: sent in batches, all of a table in one transaction.
// Source: pg_backup_db.c (18), ExecuteSimpleCommands: the text holds no comments and no dollar quotes.

import type { ArchiveContents, TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { rowCountOf } from "../postgres/index.ts";
import { PieceFeeder } from "./piece-feeder.ts";
import { skipToken } from "./sql-text.ts";
import type { RestoreWorker } from "./worker.ts";

/** Statements are sent together until they are this long. */
const BATCH_LENGTH_MIN = 256 * KIB;

/** The longest single statement; the server takes 1 GB at most. */
const STATEMENT_LENGTH_MAX = 1024 * MIB;

/** Sends the statements of an entry; returns the rows they inserted. Throws at the first error. */
export async function loadStatements(
  worker: RestoreWorker,
  entry: TocEntry,
  contents: ArchiveContents,
  options: { readonly standardStrings: boolean; readonly onData: (sizeBytes: number) => void },
): Promise<number> {
  const feeder = new PieceFeeder((signal) => contents.tableData(entry, signal));
  let pending = "";
  let rows = 0;
  const send = async (text: string): Promise<void> => {
    if (text.trim() === "") return;
    const result = await worker.session.query(Buffer.from(text, "latin1"), { signal: worker.signal });
    for (const { command } of result.all) if (command.startsWith("INSERT")) rows += rowCountOf(command) ?? 0;
    options.onData(text.length);
  };
  try {
    for (let bytes = await feeder.take(worker); bytes !== null; bytes = await feeder.take(worker)) {
      // One character for each byte: the text need not be valid in any encoding.
      pending += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
      if (pending.length < BATCH_LENGTH_MIN) continue;
      if (pending.length > STATEMENT_LENGTH_MAX) {
        throw new OperatingError("value_too_large", `a statement of "${entry.tag}" is longer than 1 GiB`);
      }
      const end = endOfLastStatement(pending, options);
      await send(pending.slice(0, end));
      pending = pending.slice(end);
    }
    await send(pending);
    return rows;
  } finally {
    await feeder.close();
  }
}

/** The offset behind the last semicolon that ends a statement; 0 when there is none. */
export function endOfLastStatement(sql: string, reading: { readonly standardStrings: boolean }): number {
  let end = 0;
  let offset = 0;
  while (offset < sql.length) {
    if (sql[offset] === ";") end = offset + 1;
    offset = skipToken(sql, offset, reading);
  }
  return end;
}
