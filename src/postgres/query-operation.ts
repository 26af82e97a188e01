// The exchanges that end in one value: a query string with its results, and a function call.

import { OperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { Message } from "./message-reader.ts";
import { BACKEND, encodeMessage, FRONTEND, readCString, readInt32 } from "./messages.ts";
import { unexpectedMessage, type Operation } from "./operation.ts";
import type { Column, StatementResult } from "./query-result.ts";
import { malformedMessage, parseDataRow, parseRowDescription, QueryResult, rowCountOf } from "./query-result.ts";
import type { ServerError, TextEncoding } from "./server-error.ts";

/** Most bytes of rows that query() holds; larger results are for COPY. */
export const QUERY_RESULT_SIZE_BYTES_MAX = 512 * MIB;

const COPY_REFUSED = Buffer.from("COPY is not possible in query()\0");

/** An operation that settles one promise. */
export abstract class PromisedOperation<T> implements Operation {
  readonly promise: Promise<T>;
  protected error: OperatingError | null = null;
  #settle: { resolve: (value: T) => void; reject: (error: unknown) => void };

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.promise = promise;
    this.#settle = { resolve, reject };
  }

  abstract receive(message: Message): void;
  protected abstract result(): T;

  receiveError(error: ServerError): void {
    this.error ??= error;
  }

  finishOperation(): void {
    if (this.error === null) this.#settle.resolve(this.result());
    else this.#settle.reject(this.error);
  }

  lose(error: OperatingError): void {
    this.#settle.reject(error);
  }
}

/** A Query message, or one statement, and its results. */
export class QueryOperation extends PromisedOperation<QueryResult> {
  readonly #encoding: TextEncoding;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #results: StatementResult[] = [];
  #columns: readonly Column[] = [];
  #rows: (string | null)[][] = [];
  #sizeBytes = 0;

  /** `send` is for the refusal of a COPY FROM STDIN. */
  constructor(encoding: TextEncoding, send: (bytes: Uint8Array) => void) {
    super();
    this.#encoding = encoding;
    this.#send = send;
  }

  receive({ type, payload }: Message): void {
    switch (type) {
      case BACKEND.rowDescription:
        this.#columns = parseRowDescription(payload, this.#encoding);
        return;
      case BACKEND.dataRow:
        this.#addRow(payload);
        return;
      case BACKEND.commandComplete:
        this.#endStatement(Buffer.from(readCString(payload, 0).bytes).toString("latin1"));
        return;
      case BACKEND.emptyQueryResponse:
        this.#endStatement("");
        return;
      case BACKEND.copyInResponse:
        this.#send(encodeMessage(FRONTEND.copyFail, COPY_REFUSED));
        return;
      case BACKEND.copyOutResponse:
        this.error ??= new OperatingError("query_failed", "the statement copies data out; use copyOut()");
        return;
      case BACKEND.copyData:
      case BACKEND.copyDone:
      case BACKEND.parseComplete:
      case BACKEND.bindComplete:
      case BACKEND.noData:
        return;
      default:
        throw unexpectedMessage(type);
    }
  }

  protected result(): QueryResult {
    return new QueryResult(this.#results);
  }

  #addRow(payload: Uint8Array): void {
    this.#sizeBytes += payload.length;
    if (this.#sizeBytes <= QUERY_RESULT_SIZE_BYTES_MAX) {
      this.#rows.push(parseDataRow(payload, this.#encoding, this.#rows.at(-1)));
      return;
    }
    this.#rows = [];
    this.error ??= new OperatingError(
      "value_too_large",
      `the result of a query is larger than ${QUERY_RESULT_SIZE_BYTES_MAX} bytes`,
    );
  }

  #endStatement(command: string): void {
    this.#results.push({ columns: this.#columns, rows: this.#rows, command, rowCount: rowCountOf(command) });
    this.#columns = [];
    this.#rows = [];
  }
}

/** A FunctionCall message and its value. */
export class FunctionCallOperation extends PromisedOperation<Uint8Array | null> {
  #value: Uint8Array | null = null;

  receive({ type, payload }: Message): void {
    if (type !== BACKEND.functionCallResponse) {
      throw unexpectedMessage(type);
    }
    const length = readInt32(payload, 0);
    if (length > payload.length - 4) throw malformedMessage("FunctionCallResponse");
    this.#value = length < 0 ? null : payload.subarray(4, 4 + length);
  }

  protected result(): Uint8Array | null {
    return this.#value;
  }
}
