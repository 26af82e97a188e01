// What a COPY has in common in both directions: the server's count of rows, the first error, and that its connection's
// loss ends it as ReadyForQuery does. Source: PostgreSQL manual, "COPY Operations".

import type { OperatingError } from "../base/errors.ts";
import type { Message } from "./message-reader.ts";
import { BACKEND, readCString } from "./messages.ts";
import { unexpectedMessage, type Operation } from "./operation.ts";
import { rowCountOf } from "./query-result.ts";
import type { ServerError } from "./server-error.ts";

/** A statement that copies; what other statements of the same string give is dropped. */
export abstract class CopyOperation implements Operation {
  protected error: OperatingError | null = null;
  #rowCount: number | null = null;

  /** Rows as the server counted them; null before the end. */
  get rowCount(): number | null {
    return this.#rowCount;
  }

  /** ReadyForQuery came, or the connection is gone and `error` says why. */
  abstract finishOperation(): void;

  /** Takes what belongs to this direction; false for a message that has no place in it. */
  protected abstract receiveCopy(message: Message): boolean;

  receive(message: Message): void {
    switch (message.type) {
      case BACKEND.commandComplete:
        this.#rowCount = rowCountOf(Buffer.from(readCString(message.payload, 0).bytes).toString("latin1"));
        return;
      case BACKEND.rowDescription:
      case BACKEND.dataRow:
      case BACKEND.emptyQueryResponse:
      case BACKEND.copyDone:
        return;
      default:
        if (!this.receiveCopy(message)) throw unexpectedMessage(message.type);
    }
  }

  receiveError(error: ServerError): void {
    this.error ??= error;
  }

  lose(error: OperatingError): void {
    this.error ??= error;
    this.finishOperation();
  }
}
