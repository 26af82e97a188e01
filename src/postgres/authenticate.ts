// Logs in on a connected transport. The library pg does the cryptography (SCRAM, channel binding, MD5) behind a
// stand-in for its socket that hands it the authentication messages and nothing else; every other message up to
// ReadyForQuery is read here, so pg never sees a byte after it and leaves nothing behind on the socket.
// Source: PostgreSQL manual, "Message Flow, Start-up".

import { EventEmitter } from "node:events";
import type { TLSSocket } from "node:tls";
import pg from "pg";
import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import { closedFailure, connectionFailure, networkFailure, refusal } from "./connection-errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { MessageReader } from "./message-reader.ts";
import type { Message } from "./message-reader.ts";
import { BACKEND, encodeMessage, encodeStartup, parseParameterStatus, readCString, readInt32 } from "./messages.ts";
import { parseErrorFields } from "./server-error.ts";
import type { Transport } from "./transport.ts";

const START_MESSAGE_SIZE_BYTES_MAX = 65_536;
// PBKDF2 rounds that a server may ask for; more is an attempt to keep us busy.
const SCRAM_ITERATIONS_MAX = 5_000_000;
const PARAMETER_COUNT_MAX = 1000;
const NOT_AUTHORIZED = "28000";

const AUTHENTICATION = { ok: 0, clearText: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;
const METHOD_NAMES: Readonly<Record<number, string>> = {
  2: "Kerberos V5",
  6: "SCM",
  7: "GSSAPI",
  8: "GSSAPI",
  9: "SSPI",
};

/** What the server said while logging in. */
export interface ServerGreeting {
  readonly parameters: Map<string, string>;
  readonly processId: number;
  readonly secretKey: Uint8Array;
}

/** pg_hba.conf refused us before a password was asked for: another attempt with or without TLS may be let in. */
export class EarlyRefusal extends Error {
  readonly failure: OperatingError;

  constructor(failure: OperatingError) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * Sends the startup packet and answers until ReadyForQuery; leaves the socket paused, without listeners, with bytes
 * that followed put back. Throws OperatingError, EarlyRefusal, or the signal's reason, with the socket destroyed.
 */
export function authenticate(
  settings: ConnectionSettings,
  transport: Transport,
  startup: readonly (readonly [string, string])[],
  signal: AbortSignal,
): Promise<ServerGreeting> {
  return new Promise((resolve, reject) => {
    const { socket } = transport;
    const reader = new MessageReader(START_MESSAGE_SIZE_BYTES_MAX);
    const login = new Login(settings, transport, startup);
    const detach = (): void => {
      login.stop();
      socket.off("data", onData).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      detach();
      socket.on("error", () => {}).destroy();
      reject(signal.aborted ? signal.reason : asFailure(settings, error));
    };
    const onData = (bytes: Uint8Array): void => {
      try {
        reader.push(bytes);
        if (!receiveAll(reader, login)) return;
        detach();
        socket.pause();
        const rest = reader.takeRest();
        if (rest.length > 0) socket.unshift(rest);
        resolve(login.greeting());
      } catch (error) {
        fail(error);
      }
    };
    const onError = (error: Error): void => fail(networkFailure(settings, error));
    const onClose = (): void => fail(closedFailure(settings, "logging in"));
    const onAbort = (): void => fail(signal.reason);
    if (signal.aborted) return fail(signal.reason);
    login.onFailure = fail;
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("data", onData).on("error", onError).on("close", onClose);
    login.start();
    socket.resume();
  });
}

// True when ReadyForQuery came.
function receiveAll(reader: MessageReader, login: Login): boolean {
  for (let message = reader.next(); message !== null && login.failure === null; message = reader.next()) {
    if (login.receive(message)) return true;
  }
  return false;
}

// Whatever a peer that does not keep to the protocol caused is a failure to connect.
function asFailure(settings: ConnectionSettings, error: unknown): unknown {
  if (error instanceof EarlyRefusal || isOperatingError(error, "connection_failed")) return error;
  return connectionFailure(settings, messageOf(error), {
    hint: "Is this the port of a PostgreSQL server, and nothing else in between?",
    cause: error,
  });
}

// One login: the messages of the start-up phase, and pg behind its stand-in.
class Login {
  failure: unknown = null;
  onFailure: (error: unknown) => void = () => {};
  readonly #settings: ConnectionSettings;
  readonly #transport: Transport;
  readonly #stream: StandInStream;
  readonly #parameters = new Map<string, string>();
  #processId = 0;
  #secretKey: Uint8Array = new Uint8Array(0);
  #wasAsked = false;
  #usesSasl = false;
  #isBound = false;
  #isVerified = false;

  constructor(settings: ConnectionSettings, transport: Transport, startup: readonly (readonly [string, string])[]) {
    this.#settings = settings;
    this.#transport = transport;
    this.#stream = new StandInStream(transport, encodeStartup(startup));
  }

  start(): void {
    const { settings, transport } = { settings: this.#settings, transport: this.#transport };
    const client = new pg.Client({
      stream: this.#stream,
      host: "localhost",
      port: 1,
      user: settings.user,
      database: settings.database,
      password: () => this.#password(),
      ssl: false,
      sslnegotiation: "postgres",
      connectionTimeoutMillis: 0,
      enableChannelBinding: transport.isTls && settings.channelBinding !== "disable",
      scramMaxIterations: SCRAM_ITERATIONS_MAX,
    } as unknown as pg.ClientConfig);
    client.on("error", (error) => this.#libraryFailed(error));
    client.connect((error: Error | null) => {
      if (error) this.#libraryFailed(error);
    });
  }

  stop(): void {
    this.onFailure = () => {};
    this.#stream.stop();
  }

  greeting(): ServerGreeting {
    return { parameters: this.#parameters, processId: this.#processId, secretKey: this.#secretKey };
  }

  /** True when the message was ReadyForQuery. */
  receive({ type, payload }: Message): boolean {
    switch (type) {
      case BACKEND.authentication:
        this.#checkAuthentication(payload);
        this.#stream.emit("data", Buffer.from(encodeMessage(type, payload)));
        return false;
      case BACKEND.parameterStatus: {
        const [name, value] = parseParameterStatus(payload);
        if (this.#parameters.size < PARAMETER_COUNT_MAX) this.#parameters.set(name, value);
        return false;
      }
      case BACKEND.backendKeyData:
        this.#processId = readInt32(payload, 0);
        this.#secretKey = Uint8Array.from(payload.subarray(4));
        return false;
      case BACKEND.errorResponse: {
        const message = parseErrorFields(payload);
        const failure = refusal(this.#settings, message, this.#transport.isTls);
        throw !this.#wasAsked && message.code === NOT_AUTHORIZED ? new EarlyRefusal(failure) : failure;
      }
      case BACKEND.noticeResponse:
      case BACKEND.negotiateProtocolVersion:
        return false;
      case BACKEND.readyForQuery:
        return true;
      default:
        throw connectionFailure(this.#settings, `unexpected message of type 0x${type.toString(16)} while logging in`);
    }
  }

  // Rules that libpq has and pg does not: methods it cannot do, channel binding required, the server's own proof.
  #checkAuthentication(payload: Uint8Array): void {
    const method = readInt32(payload, 0);
    if (method !== AUTHENTICATION.ok) this.#wasAsked = true;
    switch (method) {
      case AUTHENTICATION.ok:
        if (this.#usesSasl && !this.#isVerified)
          throw this.#refuse("the server did not prove that it knows the password");
        if (this.#mustBind() && !this.#isBound) {
          throw this.#refuse("channel binding is required, but the server let us in without it");
        }
        return;
      case AUTHENTICATION.clearText:
      case AUTHENTICATION.md5:
        if (this.#mustBind())
          throw this.#refuse("channel binding is required, but the server asked for a plain password");
        return;
      case AUTHENTICATION.sasl:
        this.#checkMechanisms(payload);
        return;
      case AUTHENTICATION.saslContinue:
      case AUTHENTICATION.saslFinal:
        if (!this.#usesSasl) throw this.#refuse("the server's SASL messages are out of order");
        if (method === AUTHENTICATION.saslContinue) return;
        this.#isVerified = true; // pg compares the signature and fails before the next message is looked at
        return;
      default:
        throw this.#refuse(
          `the server wants authentication method ${METHOD_NAMES[method] ?? method}, which is not supported`,
          "Let this user log in with scram-sha-256 in pg_hba.conf.",
        );
    }
  }

  #checkMechanisms(payload: Uint8Array): void {
    const mechanisms: string[] = [];
    for (let offset = 4; offset < payload.length && payload[offset] !== 0;) {
      const { bytes, end } = readCString(payload, offset);
      mechanisms.push(Buffer.from(bytes).toString("latin1"));
      offset = end;
    }
    const canBind =
      this.#transport.isTls && this.#settings.channelBinding !== "disable" && mechanisms.includes("SCRAM-SHA-256-PLUS");
    if (this.#mustBind() && !canBind) {
      throw this.#refuse(
        "channel binding is required, but the server did not offer it",
        this.#transport.isTls ? undefined : "Channel binding needs TLS: use sslmode=require or stronger.",
      );
    }
    if (!canBind && !mechanisms.includes("SCRAM-SHA-256")) {
      throw this.#refuse(`none of the server's SASL methods is supported: ${mechanisms.join(", ")}`);
    }
    this.#usesSasl = true;
    this.#isBound = canBind;
  }

  #mustBind(): boolean {
    return this.#settings.channelBinding === "require";
  }

  #refuse(reason: string, hint?: string): OperatingError {
    return connectionFailure(this.#settings, reason, hint === undefined ? {} : { hint });
  }

  #password(): string {
    const password = this.#settings.password?.reveal() ?? "";
    if (password !== "") return password;
    throw this.#refuse(
      "the server asks for a password, and none was given",
      "Give it in the URI, PGPASSWORD, or a password file (~/.pgpass, mode 0600).",
    );
  }

  #libraryFailed(error: Error): void {
    if (this.failure !== null) return;
    this.failure =
      error instanceof OperatingError
        ? error
        : connectionFailure(this.#settings, messageOf(error), {
            hint: this.#isBound
              ? "If the server's certificate is of a kind that channel binding cannot use: channel_binding=disable."
              : "The server's part of the password exchange is not in order: is something in between?",
          });
    this.onFailure(this.failure);
  }
}

// What pg takes for its socket: it hears "connect" and authentication messages, and what it says goes to the real one.
class StandInStream extends EventEmitter {
  writable = true;
  readonly getPeerCertificate: (() => unknown) | undefined;
  readonly #transport: Transport;
  #startup: Uint8Array | null;

  constructor(transport: Transport, startup: Uint8Array) {
    super();
    this.#transport = transport;
    this.#startup = startup;
    this.getPeerCertificate = transport.isTls ? () => (transport.socket as TLSSocket).getPeerCertificate() : undefined;
  }

  connect(): void {
    process.nextTick(() => this.emit("connect"));
  }

  // The first thing pg writes is its startup packet: ours goes instead, with exactly our parameters.
  write(bytes: Uint8Array): boolean {
    if (!this.writable) return false;
    const packet = this.#startup ?? bytes;
    this.#startup = null;
    return this.#transport.socket.write(packet);
  }

  stop(): void {
    this.writable = false;
    this.removeAllListeners();
    this.on("error", () => {});
  }

  setNoDelay(): void {}
  setKeepAlive(): void {}
  ref(): void {}
  unref(): void {}
  end(): void {}
  destroy(): void {}
}
