// Results of the simple query protocol: everything as text. Source: PostgreSQL manual, "Message Formats",
// RowDescription and DataRow.

import { OperatingError } from "../base/errors.ts";
import { readCString, readInt16, readInt32 } from "./messages.ts";
import type { TextEncoding } from "./server-error.ts";

/** A column of a result. */
export interface Column {
  readonly name: string;
  /** pg_type's oid. */
  readonly typeOid: number;
}

/** What one statement gave. */
export interface StatementResult {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** The command tag, e.g. `SELECT 3`, `CREATE TABLE`; empty for an empty statement. */
  readonly command: string;
  /** The number at the end of the command tag, or null. */
  readonly rowCount: number | null;
}

/** What a string of statements gave: the last result that has columns (else the last one), and all of them in order. */
export class QueryResult implements StatementResult {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly command: string;
  readonly rowCount: number | null;
  readonly all: readonly StatementResult[];

  constructor(all: readonly StatementResult[]) {
    const last = all.at(-1) ?? EMPTY_RESULT;
    this.columns = last.columns;
    this.rows = last.rows;
    this.command = last.command;
    this.rowCount = last.rowCount;
    this.all = all;
  }

  /** The rows as objects by column name; of two columns of one name the last counts. */
  objects<T extends object = Record<string, string | null>>(): T[] {
    return this.rows.map((row) => Object.fromEntries(this.columns.map(({ name }, index) => [name, row[index]])) as T);
  }

  /** The first column of the first row; null when it is null or there is no row. */
  get value(): string | null {
    return this.rows[0]?.[0] ?? null;
  }
}

const EMPTY_RESULT: StatementResult = { columns: [], rows: [], command: "", rowCount: null };

/** The columns of a RowDescription message. */
export function parseRowDescription(payload: Uint8Array, encoding: TextEncoding): Column[] {
  const columns: Column[] = [];
  let offset = 2;
  for (let count = readInt16(payload, 0); count > 0; count -= 1) {
    const { bytes, end } = readCString(payload, offset);
    columns.push({ name: Buffer.from(bytes).toString(encoding), typeOid: readInt32(payload, end + 6) >>> 0 });
    offset = end + 18;
  }
  return columns;
}

/** Values up to this long are compared with those of the row before. */
const REPEATED_VALUE_BYTES_MAX = 64;

/**
 * The values of a DataRow message. `previous`: the row before it; an ASCII value that is as it was there is the same object, as
 * most values of ten thousand rows of a catalog are.
 */
export function parseDataRow(
  payload: Uint8Array,
  encoding: TextEncoding,
  previous: readonly (string | null)[] = [],
): (string | null)[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const count = Math.max(0, view.getInt16(0));
  const values = previous.length === count ? previous.slice() : [];
  let buffer: Buffer | null = null;
  let offset = 2;
  for (let index = 0; index < count; index += 1) {
    const length = view.getInt32(offset);
    offset += 4;
    if (length < 0) {
      values[index] = null;
      continue;
    }
    if (offset + length > payload.length) throw malformedMessage("DataRow");
    const repeated = previous[index] ?? null;
    if (repeated !== null && isRepeated(payload, offset, length, repeated)) {
      values[index] = repeated;
    } else {
      buffer ??= Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      values[index] = buffer.toString(encoding, offset, offset + length);
    }
    offset += length;
  }
  return values;
}

/** True when these bytes are that text, all of it ASCII, which is the same in every encoding. */
function isRepeated(bytes: Uint8Array, start: number, length: number, text: string): boolean {
  if (text.length !== length || length > REPEATED_VALUE_BYTES_MAX) return false;
  for (let index = 0; index < length; index += 1) {
    const byte = bytes[start + index]!;
    if (byte > 0x7f || byte !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** The number at the end of a command tag: `COPY 12` → 12. */
export function rowCountOf(command: string): number | null {
  const match = / (\d+)$/.exec(command);
  return match === null ? null : Number(match[1]);
}

/** A message whose inner lengths contradict its length. */
export function malformedMessage(name: string): OperatingError {
  return new OperatingError("connection_lost", `the server sent a malformed ${name} message`);
}
