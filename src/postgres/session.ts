// A session with a server: our own wire code on the simple query protocol, on a socket that connectAuthenticated() made.
// One exchange at a time; starting a second one is a programmer's error. Source: PostgreSQL manual, "Message Flow".

import { assert } from "../base/assert.ts";
import { messageOf, OperatingError } from "../base/errors.ts";
import { cancelRequest } from "./cancel.ts";
import type { AuthenticatedConnection, ConnectOptions } from "./connect-host.ts";
import { connectAuthenticated } from "./connect.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { describeConnection } from "./connection-settings.ts";
import { CopyInWriter } from "./copy-in.ts";
import { CopyOutStream } from "./copy-out.ts";
import { MessageReader } from "./message-reader.ts";
import type { Message } from "./message-reader.ts";
import {
  BACKEND,
  encodeFunctionCall,
  encodeMessage,
  encodeQuery,
  encodeStatement,
  FRONTEND,
  parseParameterStatus,
} from "./messages.ts";
import type { Operation } from "./operation.ts";
import type { PromisedOperation } from "./query-operation.ts";
import { FunctionCallOperation, QueryOperation } from "./query-operation.ts";
import type { QueryResult } from "./query-result.ts";
import type { ServerMessage, TextEncoding } from "./server-error.ts";
import { isFatal, parseErrorFields, serverErrorOf } from "./server-error.ts";
import { parseServerVersion } from "./server-version.ts";
import type { ServerVersion } from "./server-version.ts";

const CLOSE_TIMEOUT_MS = 3000;
const CANCEL_REPEAT_MS = 1000;
const CANCEL_COUNT_MAX = 30;

/** Callbacks of a session. */
export interface SessionOptions {
  readonly onNotice?: ((notice: ServerMessage) => void) | undefined;
  /** Called once when the connection is lost, also between queries; not after close() or destroy(). */
  readonly onLost?: ((error: OperatingError) => void) | undefined;
}

/** Options of one exchange. */
export interface QueryOptions {
  /** Cancels the query on the server, waits for its end, then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Connects and opens a session. */
export async function openSession(
  settings: ConnectionSettings,
  options: ConnectOptions & SessionOptions = {},
): Promise<Session> {
  return new Session(await connectAuthenticated(settings, options), options);
}

/** A session; owns the connection from its construction on. */
export class Session implements AsyncDisposable {
  readonly connection: AuthenticatedConnection;
  /** latin1 for a session whose client_encoding is not UTF-8: each byte is one character then, nothing is lost. */
  textEncoding: TextEncoding = "utf8";
  readonly #options: SessionOptions;
  readonly #reader = new MessageReader();
  #operation: Operation | null = null;
  #end: OperatingError | null = null;
  #transactionStatus: "idle" | "transaction" | "failed" = "idle";
  #isClosing = false;

  constructor(connection: AuthenticatedConnection, options: SessionOptions = {}) {
    this.connection = connection;
    this.#options = options;
    this.#reader.streamsCopyData = true;
    const { socket } = connection;
    socket.on("data", (bytes: Uint8Array) => this.#receive(bytes));
    socket.on("error", (error) => this.#lose(messageOf(error), error));
    socket.on("close", () => this.#lose("the server closed it unexpectedly"));
    socket.resume();
  }

  get settings(): ConnectionSettings {
    return this.connection.settings;
  }

  get serverVersion(): ServerVersion {
    return parseServerVersion(this.connection.parameters.get("server_version") ?? "");
  }

  /** As of the end of the last exchange. */
  get transactionStatus(): "idle" | "transaction" | "failed" {
    return this.#transactionStatus;
  }

  /** False after the connection was lost or closed. */
  get isConnected(): boolean {
    return this.#end === null;
  }

  /** Runs one or several statements; the last one's result, and all of them in `all`. */
  query(sql: string | Uint8Array, options: QueryOptions = {}): Promise<QueryResult> {
    const operation = new QueryOperation(this.textEncoding, (bytes) => this.connection.socket.write(bytes));
    return this.#runPromised(operation, encodeQuery(this.#encode(sql)), options);
  }

  /** Runs a statement of somebody else; the server refuses several at once before it runs any. */
  queryOne(sql: string, options: QueryOptions = {}): Promise<QueryResult> {
    // While it waits for rows of a COPY the server has passed over the Sync.
    const send = (bytes: Uint8Array): void => this.#send([bytes, encodeMessage(FRONTEND.sync)]);
    const operation = new QueryOperation(this.textEncoding, send);
    return this.#runPromised(operation, encodeStatement(this.#encode(sql)), options);
  }

  /** Runs statements for their effect; the row count of the last command tag. */
  async execute(sql: string | Uint8Array, options: QueryOptions = {}): Promise<number | null> {
    return (await this.query(sql, options)).rowCount;
  }

  /** Calls a function by its oid with binary arguments (fastpath); binary result. */
  functionCall(
    oid: number,
    functionArguments: readonly (Uint8Array | null)[],
    options: QueryOptions = {},
  ): Promise<Uint8Array | null> {
    return this.#runPromised(new FunctionCallOperation(), encodeFunctionCall(oid, functionArguments), options);
  }

  /** Runs a COPY … TO STDOUT; errors come out of the iteration. */
  copyOut(sql: string | Uint8Array, options: QueryOptions = {}): CopyOutStream {
    const { socket } = this.connection;
    options.signal?.throwIfAborted();
    const control = {
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      cancel: () => void this.cancel().catch(() => {}), // it then ends by itself, or close() cuts it off
    };
    const stream = new CopyOutStream(control, options.signal);
    this.#start(stream, encodeQuery(this.#encode(sql)), options.signal, () => stream.discard());
    return stream;
  }

  /** Runs a COPY … FROM STDIN; resolves to its writer when the server wants data. */
  async copyIn(sql: string | Uint8Array, options: QueryOptions = {}): Promise<CopyInWriter> {
    options.signal?.throwIfAborted();
    const writer = new CopyInWriter({ send: (parts, written) => this.#send(parts, written) }, options.signal);
    this.#start(writer, encodeQuery(this.#encode(sql)), options.signal, () => {
      if (writer.isOpen) writer.sendFail("cancelled");
    });
    await writer.opened;
    return writer;
  }

  /** Asks the server, on a second connection, to cancel what runs. */
  cancel(): Promise<void> {
    return cancelRequest(this.connection);
  }

  /** Ends the session in order; what still runs is cancelled. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#end !== null) return;
    if (this.#operation !== null) {
      await this.cancel().catch(() => {}); // the connection is cut all the same
      this.destroy();
      return;
    }
    const { socket } = this.connection;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.resume();
    socket.end(encodeMessage(FRONTEND.terminate));
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
    await closed;
    clearTimeout(timer);
  }

  /** Cuts the connection at once; what runs is rejected. */
  destroy(): void {
    this.#isClosing = true;
    this.#lose("it was cut on our side");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #runPromised<T>(operation: PromisedOperation<T>, message: Uint8Array, options: QueryOptions): Promise<T> {
    options.signal?.throwIfAborted();
    this.#start(operation, message, options.signal);
    try {
      return await operation.promise;
    } finally {
      options.signal?.throwIfAborted();
    }
  }

  #start(operation: Operation, message: Uint8Array, signal?: AbortSignal, onAbort?: () => void): void {
    assert(this.#operation === null, "a session runs one query at a time");
    if (this.#end !== null) throw this.#end;
    this.#operation = signal === undefined ? operation : cancellable(operation, signal, this, onAbort);
    this.connection.socket.write(message);
  }

  #send(parts: readonly Uint8Array[], written?: () => void): void {
    const { socket } = this.connection;
    socket.cork();
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1 && written !== undefined) socket.write(part, () => written());
      else socket.write(part);
    }
    socket.uncork();
  }

  #encode(sql: string | Uint8Array): Uint8Array {
    if (typeof sql !== "string") return sql;
    assert(this.textEncoding === "utf8" || !/[^\0-\u00ff]/.test(sql), "SQL text that latin1 cannot hold");
    return Buffer.from(sql, this.textEncoding);
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
      for (let message = this.#reader.next(); message !== null; message = this.#reader.next()) this.#dispatch(message);
      this.#operation?.endRead?.();
    } catch (error) {
      this.#lose(messageOf(error), error);
    }
  }

  #dispatch(message: Message): void {
    const { type, payload } = message;
    switch (type) {
      case BACKEND.errorResponse: {
        const fields = parseErrorFields(payload, this.textEncoding);
        if (isFatal(fields)) this.#loseByServer(fields);
        else this.#operation?.receiveError(serverErrorOf(fields));
        return;
      }
      case BACKEND.noticeResponse:
        this.#options.onNotice?.(parseErrorFields(payload, this.textEncoding));
        return;
      case BACKEND.parameterStatus:
        this.connection.parameters.set(...parseParameterStatus(payload));
        return;
      case BACKEND.notificationResponse:
        return;
      case BACKEND.readyForQuery: {
        const status = payload[0];
        this.#transactionStatus = status === 0x54 ? "transaction" : status === 0x45 ? "failed" : "idle"; // T, E, I
        const operation = this.#operation;
        this.#operation = null;
        operation?.finishOperation();
        return;
      }
      default:
        this.#operation?.receive(message);
    }
  }

  #loseByServer(fields: ServerMessage): void {
    const error = serverErrorOf(fields);
    this.#endWith(
      new OperatingError(
        "connection_lost",
        `lost the connection to ${describeConnection(this.settings)}: ${error.message}`,
        {
          detail: error.detail,
          hint: error.hint ?? "Look at the server's log for who ended the session and why.",
          retryable: true,
          cause: error,
          sqlState: error.sqlState,
        },
      ),
    );
  }

  #lose(reason: string, cause?: unknown): void {
    this.#endWith(
      new OperatingError("connection_lost", `lost the connection to ${describeConnection(this.settings)}: ${reason}`, {
        hint: "Look at the server's log, and at the network in between.",
        retryable: true,
        cause,
      }),
    );
  }

  #endWith(error: OperatingError): void {
    if (this.#end !== null) return;
    this.#end = error;
    this.connection.socket.destroy();
    const operation = this.#operation;
    this.#operation = null;
    operation?.lose(error);
    if (!this.#isClosing) this.#options.onLost?.(error);
  }
}

// An operation whose signal cancels it on the server, again and again until it has ended (a CancelRequest that comes
// before its query is lost); a server that does not react is cut off. The end waits for a CancelRequest under way, so
// that it cannot hit the next query.
function cancellable(operation: Operation, signal: AbortSignal, session: Session, onAbort?: () => void): Operation {
  let timer: NodeJS.Timeout | undefined;
  let isEnded = false;
  let underWay: Promise<void> = Promise.resolve();
  let count = 0;
  const cancel = (): void => {
    if (isEnded) return;
    if (count++ === CANCEL_COUNT_MAX) {
      session.destroy();
      return;
    }
    underWay = session.cancel().catch(() => {}); // tried again; the last time the session is cut off
    void underWay.then(() => {
      if (!isEnded) timer = setTimeout(cancel, CANCEL_REPEAT_MS);
    });
  };
  const abort = (): void => {
    onAbort?.();
    cancel();
  };
  const stop = (): void => {
    isEnded = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  };
  signal.addEventListener("abort", abort, { once: true });
  return {
    receive: (message) => operation.receive(message),
    receiveError: (error) => operation.receiveError(error),
    endRead: () => operation.endRead?.(),
    finishOperation: () => {
      stop();
      if (signal.aborted) void underWay.then(() => operation.finishOperation());
      else operation.finishOperation();
    },
    lose: (error) => {
      stop();
      operation.lose(error);
    },
  };
}
