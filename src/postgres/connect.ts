// An authenticated connection to a server: sslmode's order of attempts, the time limit, and the errors.
// Source: PostgreSQL manual, "SSL Support" (table of sslmode), and libpq's behaviour on prefer and allow.
//
//   mode                                  first attempt   second attempt, if the server refuses before a password
//   disable, unix socket                  plain           none
//   allow                                 plain           TLS
//   prefer                                TLS             plain (also when the TLS handshake fails)
//   require, verify-ca, verify-full       TLS             none

import type { Socket } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { authenticate, EarlyRefusal } from "./authenticate.ts";
import { connectionFailure, timeoutFailure } from "./connection-errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { usesUnixSocket } from "./connection-settings.ts";
import { loadTlsOptions } from "./tls.ts";
import { openTransport, TlsAttemptError } from "./transport.ts";

/** What connect_timeout=0 (libpq: wait for ever) means here. */
export const CONNECT_TIMEOUT_MS_MAX = 600_000;

/** A connection that the server said is ready. The socket is paused and has no listeners of ours; it belongs to the caller. */
export interface AuthenticatedConnection {
  readonly socket: Socket | TLSSocket;
  /** The ParameterStatus values so far, e.g. server_version, server_encoding. */
  readonly parameters: Map<string, string>;
  readonly processId: number;
  /** For the CancelRequest; 4 bytes. */
  readonly secretKey: Uint8Array;
  /**
   * As given, with the address that was met: whoever connects by them again (a cancel, a reader) meets the same server
   * although the host's name has several. TLS still compares the name.
   */
  readonly settings: ConnectionSettings;
  readonly isTls: boolean;
}

/** Options of connectAuthenticated(). */
export interface ConnectOptions {
  readonly signal?: AbortSignal | undefined;
  /** Used unless the settings name one. */
  readonly applicationName?: string | undefined;
  /** "true" for a walsender, "database" for one with a database; overrides the settings. */
  readonly replication?: string | undefined;
  /** Server settings for the startup packet, e.g. { statement_timeout: "0" }. */
  readonly startupOptions?: Readonly<Record<string, string>> | undefined;
  /**
   * Makes the unconnected socket, once per attempt; for reading by `onread` see DirectReadSocket, which says
   * what such a socket must do until the login is over.
   */
  readonly createSocket?: (() => Socket) | undefined;
}

/**
 * Connects and logs in. A database whose text the server cannot turn into UTF-8 (MULE_INTERNAL) is met without any
 * conversion, unless an encoding was asked for; the connection's settings say so. Throws OperatingError
 * "connection_failed", or the signal's reason.
 */
export async function connectAuthenticated(
  settings: ConnectionSettings,
  options: ConnectOptions = {},
): Promise<AuthenticatedConnection> {
  try {
    return await connectByMode(settings, options);
  } catch (error) {
    if (settings.clientEncoding !== null || !isWithoutConversion(error)) throw error;
    return await connectByMode({ ...settings, clientEncoding: NO_CONVERSION }, options);
  }
}

const NO_CONVERSION = "SQL_ASCII";
const FEATURE_NOT_SUPPORTED = "0A000";

// "conversion between UTF8 and MULE_INTERNAL is not supported", whatever the server's language.
function isWithoutConversion(error: unknown): boolean {
  return isOperatingError(error) && error.sqlState === FEATURE_NOT_SUPPORTED && error.message.includes("UTF8");
}

async function connectByMode(settings: ConnectionSettings, options: ConnectOptions): Promise<AuthenticatedConnection> {
  const limitMs = settings.connectTimeoutMs > 0 ? settings.connectTimeoutMs : CONNECT_TIMEOUT_MS_MAX;
  const attempts = await planAttempts(settings);
  let firstFailure: OperatingError | null = null;
  for (const [index, attempt] of attempts.entries()) {
    try {
      return await tryOnce(settings, options, attempt, limitMs);
    } catch (error) {
      const failure = error instanceof TlsAttemptError || error instanceof EarlyRefusal ? error.failure : error;
      if (failure === error || !(failure instanceof OperatingError) || index === attempts.length - 1) {
        throw withFirstFailure(failure, firstFailure);
      }
      firstFailure = failure;
    }
  }
  throw connectionFailure(settings, "no attempt was possible");
}

interface Attempt {
  readonly tls: ConnectionOptions | null;
  readonly needsTls: boolean;
}

async function planAttempts(settings: ConnectionSettings): Promise<Attempt[]> {
  const plain: Attempt = { tls: null, needsTls: false };
  const { mode } = settings.tls;
  if (mode === "disable" || usesUnixSocket(settings)) return [plain];
  const tls = await loadTlsOptions(settings);
  if (mode === "allow") return [plain, { tls, needsTls: true }];
  if (mode === "prefer") return [{ tls, needsTls: false }, plain];
  return [{ tls, needsTls: true }];
}

async function tryOnce(
  settings: ConnectionSettings,
  options: ConnectOptions,
  attempt: Attempt,
  limitMs: number,
): Promise<AuthenticatedConnection> {
  options.signal?.throwIfAborted();
  const controller = new AbortController();
  const progress = { step: "connecting" };
  const timer = setTimeout(() => controller.abort(timeoutFailure(settings, progress.step)), limitMs);
  const forward = (): void => controller.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", forward, { once: true });
  try {
    const { signal } = controller;
    const transport = await openTransport(settings, { ...attempt, signal, createSocket: options.createSocket });
    progress.step = "logging in";
    const greeting = await authenticate(settings, transport, startupParameters(settings, options), signal);
    const objection = objectionTo(settings.targetSessionAttributes, greeting.parameters);
    if (objection === null) {
      return { ...greeting, ...transport, settings: withAddressMet(settings, transport.socket.remoteAddress) };
    }
    transport.socket.on("error", () => {}).destroy();
    throw connectionFailure(settings, objection, {
      hint: `Connect to another server, or do without target_session_attrs=${settings.targetSessionAttributes}.`,
    });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", forward);
  }
}

// A link-local address says nothing without its interface, which Node does not tell.
function withAddressMet(settings: ConnectionSettings, address: string | undefined): ConnectionSettings {
  const isLinkLocal = /^fe[89ab]/i.test(address ?? "");
  if (address === undefined || usesUnixSocket(settings) || isLinkLocal) return settings;
  return { ...settings, hostAddress: address };
}

// Why a server is not what target_session_attrs asks for; null when it is. The parameters exist since version 14.
function objectionTo(wanted: string, parameters: ReadonlyMap<string, string>): string | null {
  if (wanted === "any" || wanted === "prefer-standby") return null;
  const standby = parameters.get("in_hot_standby");
  const readOnly = parameters.get("default_transaction_read_only");
  if (standby === undefined || readOnly === undefined) {
    return `target_session_attrs=${wanted} cannot be checked on a server before version 14`;
  }
  const isStandby = standby === "on";
  const isReadOnly = isStandby || readOnly === "on";
  if (wanted === "read-write" && isReadOnly) return "the session is read-only";
  if (wanted === "read-only" && !isReadOnly) return "the session is not read-only";
  if (wanted === "primary" && isStandby) return "the server is a standby";
  if (wanted === "standby" && !isStandby) return "the server is not a standby";
  return null;
}

function startupParameters(settings: ConnectionSettings, options: ConnectOptions): [string, string][] {
  const parameters: [string, string][] = [
    ["user", settings.user],
    ["database", settings.database],
  ];
  const replication = options.replication ?? settings.replication;
  const applicationName = settings.applicationName ?? options.applicationName;
  if (replication !== null && replication !== undefined) parameters.push(["replication", replication]);
  if (settings.options !== null) parameters.push(["options", settings.options]);
  if (applicationName !== undefined) parameters.push(["application_name", applicationName]);
  parameters.push(["client_encoding", settings.clientEncoding ?? "UTF8"]);
  parameters.push(...Object.entries(options.startupOptions ?? {}));
  return parameters;
}

// Both attempts failed: the last one's message, and the first one's as a detail.
function withFirstFailure(failure: unknown, first: OperatingError | null): unknown {
  if (first === null || !(failure instanceof OperatingError) || failure.message === first.message) return failure;
  const reason = first.message.slice(first.message.indexOf(": ") + 2);
  return new OperatingError(failure.code, failure.message, {
    detail: `${failure.detail === undefined ? "" : `${failure.detail} `}The attempt before it failed with: ${reason}.`,
    hint: failure.hint,
    retryable: failure.retryable,
    cause: failure,
    sqlState: failure.sqlState,
  });
}
