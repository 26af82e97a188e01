// What the server says when something goes wrong: the fields of ErrorResponse and NoticeResponse, and their
// OperatingError. Source: PostgreSQL manual, "Error and Notice Message Fields", "PostgreSQL Error Codes".

import type { ErrorCode } from "../base/errors.ts";
import { OperatingError } from "../base/errors.ts";
import { readCString } from "./messages.ts";

/** How the text of a session is decoded: latin1 keeps every byte as one character, for encodings other than UTF-8. */
export type TextEncoding = "utf8" | "latin1";

/** The fields of an error or notice; `detail` and `where` may hold data of rows, so they are not for logs. */
export interface ServerMessage {
  /** ERROR, FATAL, PANIC, WARNING, NOTICE, …, never translated. */
  readonly severity: string;
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  /** Position in the statement, from 1, in characters. */
  readonly position: number | undefined;
  readonly where: string | undefined;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly dataType: string | undefined;
  readonly constraint: string | undefined;
  readonly routine: string | undefined;
}

/** An OperatingError that the server reported. */
export class ServerError extends OperatingError {
  readonly serverError: ServerMessage;

  constructor(code: ErrorCode, serverError: ServerMessage, hint?: string) {
    super(code, oneLine(serverError.message), {
      detail: serverError.detail,
      hint: hint ?? serverError.hint,
      sqlState: serverError.code,
      retryable: isRetryable(serverError.code),
    });
    this.name = "ServerError";
    this.serverError = serverError;
  }
}

/** The fields of ErrorResponse or NoticeResponse. */
export function parseErrorFields(payload: Uint8Array, encoding: TextEncoding = "utf8"): ServerMessage {
  const fields = new Map<string, string>();
  let offset = 0;
  while (offset < payload.length && payload[offset] !== 0) {
    const field = String.fromCharCode(payload[offset] as number);
    const { bytes, end } = readCString(payload, offset + 1);
    fields.set(field, Buffer.from(bytes).toString(encoding));
    offset = end;
  }
  const position = Number(fields.get("P"));
  return {
    severity: fields.get("V") ?? fields.get("S") ?? "ERROR",
    code: fields.get("C") ?? "XX000",
    message: fields.get("M") ?? "unknown error",
    detail: fields.get("D"),
    hint: fields.get("H"),
    position: Number.isSafeInteger(position) && position > 0 ? position : undefined,
    where: fields.get("W"),
    schema: fields.get("s"),
    table: fields.get("t"),
    column: fields.get("c"),
    dataType: fields.get("d"),
    constraint: fields.get("n"),
    routine: fields.get("R"),
  };
}

/** The error of a running session, with our code for its SQLSTATE. */
export function serverErrorOf(message: ServerMessage): ServerError {
  return new ServerError(codeOf(message.code), message);
}

/** True when the server ends the connection after this message. */
export function isFatal(message: ServerMessage): boolean {
  return message.severity === "FATAL" || message.severity === "PANIC";
}

function codeOf(sqlState: string): ErrorCode {
  if (sqlState === "42501") return "insufficient_privilege";
  if (sqlState === "55P03") return "lock_timeout";
  if (/^(57P0[123]|08)/.test(sqlState)) return "connection_lost";
  return "query_failed";
}

// Serialization failures, deadlocks, too many connections, shutdowns: a later attempt can succeed.
function isRetryable(sqlState: string): boolean {
  return /^(40001|40P01|53300|57P0[1235]|08|55P03)/.test(sqlState);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ");
}
