// One exchange on a session, from a message of ours to ReadyForQuery. The session feeds it messages and tells it of the
// end; what it collects is the business of its subclasses (query, COPY out, COPY in, function call).

import { OperatingError } from "../base/errors.ts";
import type { Message } from "./message-reader.ts";
import type { ServerError } from "./server-error.ts";

/** What the session does with its current exchange. */
export interface Operation {
  /** Every message but errors, notices, parameters and ReadyForQuery. */
  receive(message: Message): void;
  /** An error of the server; the session goes on to ReadyForQuery. The first one counts. */
  receiveError(error: ServerError): void;
  /** ReadyForQuery came. */
  finishOperation(): void;
  /** The connection is gone: nothing more will come. */
  lose(error: OperatingError): void;
  /** Called after all messages of one read from the socket. */
  endRead?(): void;
}

/** The error of a message that has no place in an exchange: the two sides are no longer in step. */
export function unexpectedMessage(type: number): OperatingError {
  return new OperatingError("connection_lost", `unexpected message of type 0x${type.toString(16)} from the server`);
}
