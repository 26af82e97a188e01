// A reader's session on the wire: statements go out ahead of their answers, COPY text comes in through the assembler.
// While it reads at most two statements are under way, so that the server never waits for the next one; a LOCK is awaited
// before its COPY is sent. Where the connection is plain, the socket reads straight into the assembler's buffer.
// Source: PostgreSQL manual, "Message Flow"; data path in docs/decisions.

import type { Socket } from "node:net";

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import type { AuthenticatedConnection, ConnectionSettings } from "../postgres/index.ts";
import {
  BACKEND,
  cancelRequest,
  connectAuthenticated,
  DirectReadSocket,
  encodeQuery,
  parseErrorFields,
  serverErrorOf,
} from "../postgres/index.ts";
import { CopyAssembler } from "./copy-assembler.ts";
import { READ_STALL_MS, StallWatch } from "./stall-watch.ts";

/** What becomes of one statement. */
export interface StatementOutcome {
  readonly error: OperatingError | null;
  /** The command tag, e.g. "COPY 12". */
  readonly tag: string;
}

export interface ReaderSessionEvents {
  chunk(text: Uint8Array, rowCount: number, continues: boolean): void;
  /** The answer of a statement has begun to arrive: the next one may be sent. */
  started(): void;
  lost(error: OperatingError): void;
}

export class ReaderSession {
  readonly #connection: AuthenticatedConnection;
  readonly #events: ReaderSessionEvents;
  readonly #assembler: CopyAssembler;
  readonly #waiting: ((outcome: StatementOutcome) => void)[] = [];
  #error: OperatingError | null = null;
  #tag = "";
  #functionResult: Uint8Array | null = null;
  #paused = false;
  #closed = false;
  readonly #stallWatch: StallWatch;

  private constructor(connection: AuthenticatedConnection, events: ReaderSessionEvents, chunkSizeBytes: number) {
    this.#connection = connection;
    this.#events = events;
    this.#assembler = new CopyAssembler(chunkSizeBytes, {
      chunk: (text, rowCount, continues) => events.chunk(text, rowCount, continues),
      message: (type, payload) => this.#onMessage(type, payload),
    });
    this.#stallWatch = new StallWatch({
      limitMs: READ_STALL_MS,
      isWaiting: () => this.#waiting.length > 0 && !this.#paused,
      progress: () => connection.socket.bytesRead,
      onStall: () => events.lost(stalledError()),
    });
  }

  static async open(
    settings: ConnectionSettings,
    options: { readonly events: ReaderSessionEvents; readonly chunkSizeBytes: number },
  ): Promise<ReaderSession> {
    let direct = new DirectReadSocket();
    const createSocket = (): Socket => {
      direct = new DirectReadSocket(); // one for each attempt
      return direct.socket;
    };
    const connection = await connectAuthenticated(settings, { createSocket });
    const session = new ReaderSession(connection, options.events, options.chunkSizeBytes);
    session.#attach(connection.isTls ? null : direct);
    return session;
  }

  get pendingCount(): number {
    return this.#waiting.length;
  }

  /** Sends a statement (one byte a character) and gives its outcome. */
  run(statement: string): Promise<StatementOutcome> {
    return new Promise((resolve) => this.start(statement, resolve));
  }

  /**
   * Sends a statement (one byte a character). Its chunks come by the events, then `ended` is called, before anything
   * of the next statement's answer: that may stand in the same read from the socket.
   */
  start(statement: string, ended: (outcome: StatementOutcome) => void): void {
    this.#send(encodeQuery(Buffer.from(statement, "latin1")), ended);
  }

  /** Sends a FunctionCall message made by the caller; the result's bytes, null for SQL null. */
  async call(message: Uint8Array): Promise<Uint8Array | null> {
    assert(this.#waiting.length === 0, "function calls are not mixed with statements");
    const outcome = await new Promise<StatementOutcome>((resolve) => this.#send(message, resolve));
    if (outcome.error !== null) throw outcome.error;
    return this.#functionResult;
  }

  pause(): void {
    this.#paused = true;
    this.#connection.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#connection.socket.resume();
  }

  close(): void {
    this.#closed = true;
    this.#stallWatch.end();
    this.#connection.socket.destroy();
  }

  /** Closes, and has the server end what still runs: it would notice a closed connection only when it next sends something. */
  async cancelAndClose(): Promise<void> {
    // A cancel that fails is not told: what ended the reader is.
    if (this.#waiting.length > 0 && !this.#closed) await cancelRequest(this.#connection).catch(() => {});
    this.close();
  }

  #send(message: Uint8Array, ended: (outcome: StatementOutcome) => void): void {
    this.#waiting.push(ended);
    this.#connection.socket.write(message);
  }

  #attach(direct: DirectReadSocket | null): void {
    const { socket } = this.#connection;
    const lost = (cause?: Error): void => {
      if (this.#closed) return;
      this.#closed = true;
      this.#events.lost(this.#error ?? lostError(cause));
    };
    socket.on("error", lost);
    socket.on("close", () => lost());
    socket.on("end", () => lost());
    if (direct === null) {
      socket.on("data", (bytes: Buffer) => this.#feed(bytes));
    } else {
      direct.divert({
        reserve: () => this.#assembler.reserve(),
        advance: (lengthBytes) => {
          this.#assembler.advance(lengthBytes);
          return !this.#paused;
        },
      });
    }
    socket.resume();
  }

  #feed(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      const room = this.#assembler.reserve();
      const taken = Math.min(room.length, rest.length);
      room.set(rest.subarray(0, taken));
      this.#assembler.advance(taken);
      rest = rest.subarray(taken);
    }
  }

  #onMessage(type: number, payload: Uint8Array): void {
    switch (type) {
      case BACKEND.copyOutResponse:
        this.#events.started();
        break;
      case BACKEND.errorResponse:
        this.#error = serverErrorOf(parseErrorFields(payload));
        break;
      case BACKEND.commandComplete:
        this.#takeTag(Buffer.from(payload.subarray(0, -1)).toString("latin1"));
        break;
      case BACKEND.functionCallResponse:
        this.#functionResult = functionResult(payload);
        break;
      case BACKEND.readyForQuery:
        this.#endStatement();
        break;
      default: // row descriptions and rows of SELECT set_config, notices, parameter changes
        break;
    }
  }

  /** A setting may stand before and after a COPY in one query: the COPY's tag is the one that counts. */
  #takeTag(tag: string): void {
    if (!this.#tag.startsWith("COPY ")) this.#tag = tag;
  }

  #endStatement(): void {
    if (this.#error === null) this.#assembler.finish();
    const outcome = { error: this.#error, tag: this.#tag };
    this.#error = null;
    this.#tag = "";
    this.#waiting.shift()?.(outcome);
  }
}

function functionResult(payload: Uint8Array): Uint8Array | null {
  const lengthBytes = new DataView(payload.buffer, payload.byteOffset).getInt32(0);
  return lengthBytes < 0 ? null : payload.subarray(4, 4 + lengthBytes);
}

function lostError(cause: Error | undefined): OperatingError {
  return new OperatingError("connection_lost", "connection to the server was lost while reading data", {
    hint: "Look at the server's log for the time of the failure; the backup can simply be started again.",
    retryable: true,
    cause,
  });
}

function stalledError(): OperatingError {
  return new OperatingError("stalled", `the server sent nothing for ${formatDuration(READ_STALL_MS)}`, {
    hint: 'Look at the server\'s log and its disks: the statement is in pg_stat_activity as "cairn reader".',
    retryable: true,
  });
}
