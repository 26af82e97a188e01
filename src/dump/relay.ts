// The relay between a pg_dump and the server. pg_dump's protocol messages come in one at a time, whole; those that
// fetch data (COPY … TO stdout, large object reads) are answered here with "nothing", all others go to the server.
// pg_dump's Terminate never reaches the server, so the session keeps pg_dump's own transaction and locks: it becomes
// the holder. It does not start pg_dump and opens no socket for it (installed/, bundled/ do).
// Source: PostgreSQL manual, "Message Flow" and "Message Formats"; pg_dump.c, setup_connection, dumpTableData_copy.

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import type { AuthenticatedConnection } from "../postgres/index.ts";
import { BACKEND, cancelRequest, encodeMessage, FRONTEND, Session } from "../postgres/index.ts";
import { answerLargeObjectCall } from "./large-object-stub.ts";
import { withoutVersionOption } from "./version-option.ts";

/** A frontend message of pg_dump is mostly a catalog query; this bounds what a broken one may claim. */
export const RELAY_MESSAGE_SIZE_BYTES_MAX = 64 * 1024 * 1024;

const MESSAGE_HEADER_SIZE_BYTES = 5;

const COPY_TO_STDOUT = /^COPY\s[\s\S]*\sTO\s+stdout;?\s*$/i;
const SESSION_SETTING = /^\s*(SET\s+(?!TRANSACTION\b|CONSTRAINTS\b)|SELECT\s+(pg_catalog\.)?set_config\()/i;

/** Follows backend bytes that come in arbitrary pieces from message to message. */
class MessageTracker {
  readonly #header = new Uint8Array(MESSAGE_HEADER_SIZE_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerLength = 0;
  #payloadRemaining = 0;

  /** False in the middle of a message. */
  get isBetweenMessages(): boolean {
    return this.#headerLength === 0;
  }

  /** Takes the next bytes; `ended` is given the type of each message that ends in them and the offset behind it. */
  push(bytes: Uint8Array, ended: (type: number, offset: number) => void): void {
    let position = 0;
    while (position < bytes.length) {
      if (this.#headerLength < MESSAGE_HEADER_SIZE_BYTES) {
        this.#header[this.#headerLength++] = bytes[position++]!;
        if (this.#headerLength < MESSAGE_HEADER_SIZE_BYTES) continue;
        this.#payloadRemaining = this.#headerView.getUint32(1) - 4;
      } else {
        const taken = Math.min(this.#payloadRemaining, bytes.length - position);
        this.#payloadRemaining -= taken;
        position += taken;
      }
      if (this.#payloadRemaining > 0) continue;
      this.#headerLength = 0;
      ended(this.#header[0]!, position);
    }
  }
}

/** What the relay saw go by that the readers need. Strings hold one byte a character (latin1): send them the same way. */
export interface RelayRecord {
  /** pg_dump's session settings, in order, as sent: `SET …` and `SELECT set_config(…)`, without SET TRANSACTION. */
  readonly settings: readonly string[];
  /** Its COPY … TO stdout statements, in the order of the archive's data entries. */
  readonly copyStatements: readonly string[];
}

interface Exchange {
  /** False until a message that began before the exchange has ended. */
  isAligned: boolean;
  readonly onBytes: (bytes: Uint8Array) => void;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

/** Relays one pg_dump's session. Not re-entrant: one exchange at a time. */
export class Relay {
  readonly #connection: AuthenticatedConnection;
  readonly #onLocked: (holderProcessId: number) => void;
  readonly #settings: string[] = [];
  readonly #copyStatements: string[] = [];
  readonly #tracker = new MessageTracker();
  #exchange: Exchange | null = null;
  #exchangeCount = 0;
  #failure: Error | null = null;
  #released = false;

  /** `onLocked`: called once, when pg_dump asks for the first rows: it holds the locks that it takes by LOCK TABLE. */
  constructor(connection: AuthenticatedConnection, onLocked: (holderProcessId: number) => void = () => {}) {
    this.#connection = connection;
    this.#onLocked = onLocked;
    connection.socket.on("data", this.#onData);
    connection.socket.on("error", this.#onError);
    connection.socket.on("close", this.#onClose);
    connection.socket.resume();
  }

  /** ParameterStatus of the server's session, to be shown to pg_dump. */
  get parameters(): ReadonlyMap<string, string> {
    return this.#connection.parameters;
  }

  get connection(): AuthenticatedConnection {
    return this.#connection;
  }

  /** True while the server is to answer. */
  get isExchanging(): boolean {
    return this.#exchange !== null;
  }

  /** Messages of pg_dump so far. */
  get exchangeCount(): number {
    return this.#exchangeCount;
  }

  get record(): RelayRecord {
    return { settings: this.#settings, copyStatements: this.#copyStatements };
  }

  /**
   * Takes one complete frontend message (type, length, payload) and gives the answer's bytes to `onBytes` until
   * ReadyForQuery. Throws OperatingError "connection_lost" when the server goes away.
   */
  async exchange(message: Uint8Array, onBytes: (bytes: Uint8Array) => void): Promise<void> {
    assert(this.#exchange === null, "one relay exchange at a time");
    if (this.#failure !== null) throw this.#failure;
    this.#exchangeCount += 1;
    const local = this.#answerLocally(message);
    if (local !== null) {
      onBytes(local);
      return;
    }
    await new Promise<void>((done, fail) => {
      this.#exchange = { isAligned: this.#tracker.isBetweenMessages, onBytes, done, fail };
      this.#connection.socket.write(withoutVersionOption(message));
    });
  }

  /** Ends the relaying; the session, with pg_dump's transaction still open, is the caller's from now on. */
  release(onLost: (error: OperatingError) => void): Session {
    assert(this.#exchange === null && !this.#released, "the relay is idle when it is released");
    if (this.#failure !== null) throw this.#failure;
    this.#detach();
    return new Session(this.#connection, { onLost });
  }

  /** Has the server end what it still does for pg_dump, if anything. */
  async cancel(): Promise<void> {
    if (this.#exchange === null) return;
    await cancelRequest(this.#connection).catch(() => {}); // what went wrong before is told; this is only tidying up
  }

  /** Ends the session with the server. */
  destroy(): void {
    if (this.#released) return;
    this.#detach();
    this.#connection.socket.on("error", () => {});
    this.#connection.socket.destroy();
  }

  #detach(): void {
    this.#released = true;
    const { socket } = this.#connection;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
  }

  #answerLocally(message: Uint8Array): Uint8Array | null {
    if (message[0] === FRONTEND.functionCall) return answerLargeObjectCall(message);
    if (message[0] !== FRONTEND.query) return null;
    const end = message.length - 1; // the terminating zero
    const text = Buffer.from(message.buffer, message.byteOffset + MESSAGE_HEADER_SIZE_BYTES, end - 5).toString(
      "latin1",
    );
    if (COPY_TO_STDOUT.test(text)) {
      if (this.#copyStatements.push(text) === 1) this.#onLocked(this.#connection.processId);
      return EMPTY_COPY_ANSWER;
    }
    if (SESSION_SETTING.test(text)) this.#settings.push(text);
    return null;
  }

  /** What the server says of itself between two answers (parameters, notices) is not part of either. */
  readonly #onData = (bytes: Buffer): void => {
    const exchange = this.#exchange;
    let start = exchange?.isAligned === true ? 0 : bytes.length;
    let end: number | null = null;
    this.#tracker.push(bytes, (type, offset) => {
      if (exchange === null || end !== null) return;
      if (!exchange.isAligned) {
        exchange.isAligned = true;
        start = offset;
      } else if (type === BACKEND.readyForQuery) {
        end = offset;
      }
    });
    const part = bytes.subarray(start, end ?? bytes.length);
    if (part.length > 0) exchange?.onBytes(part);
    if (end === null) return;
    this.#exchange = null;
    exchange?.done();
  };

  readonly #onError = (error: Error): void => this.#fail(error);
  readonly #onClose = (): void => this.#fail(null);

  #fail(cause: Error | null): void {
    this.#failure ??= new OperatingError(
      "connection_lost",
      "connection to the server was lost while pg_dump was running",
      {
        hint: "Look at the server's log for the time of the failure; the backup can simply be started again.",
        retryable: true,
        cause: cause ?? undefined,
      },
    );
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.fail(this.#failure);
  }
}

/** CopyOutResponse (text, no columns), CopyDone, CommandComplete "COPY 0", ReadyForQuery in a transaction. */
const EMPTY_COPY_ANSWER: Uint8Array = Buffer.concat([
  encodeMessage(BACKEND.copyOutResponse, Buffer.from([0, 0, 0])),
  encodeMessage(BACKEND.copyDone, new Uint8Array(0)),
  encodeMessage(BACKEND.commandComplete, Buffer.from("COPY 0\0")),
  encodeMessage(BACKEND.readyForQuery, Buffer.from("T")),
]);
