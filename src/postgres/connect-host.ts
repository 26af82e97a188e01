// An authenticated connection to one server: sslmode's order of attempts, the time limit, and the errors.
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
import type { ConnectionSettings, TargetSessionAttributes } from "./connection-settings.ts";
import { usesUnixSocket } from "./connection-settings.ts";
import { asksForCertificate } from "./describe-encryption.ts";
import { objectionTo } from "./target-session.ts";
import { loadTlsOptions } from "./tls.ts";
import { openTransport, TlsAttemptError } from "./transport.ts";
import type { Transport } from "./transport.ts";

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

/** Thrown when this server cannot be reached or is not what is wanted: another one may do. */
export class NextHost extends Error {
  readonly failure: OperatingError;

  constructor(failure: OperatingError) {
    super(failure.message);
    this.failure = failure;
  }
}

/** What is asked of one server. */
interface HostRequest extends ConnectOptions {
  readonly wanted: TargetSessionAttributes;
}

/** Connects to the first server of the settings. Throws NextHost, OperatingError "connection_failed", or the signal's reason. */
export async function connectToHost(
  settings: ConnectionSettings,
  wanted: TargetSessionAttributes,
  options: ConnectOptions,
): Promise<AuthenticatedConnection> {
  const request = { ...options, wanted };
  try {
    return await connectByMode(settings, request);
  } catch (error) {
    if (settings.clientEncoding !== null || !isWithoutConversion(error)) throw error;
    return await connectByMode({ ...settings, clientEncoding: NO_CONVERSION }, request);
  }
}

const NO_CONVERSION = "SQL_ASCII";
const FEATURE_NOT_SUPPORTED = "0A000";
const CANNOT_CONNECT_NOW = "57P03";

// "conversion between UTF8 and MULE_INTERNAL is not supported", whatever the server's language.
function isWithoutConversion(error: unknown): boolean {
  return isOperatingError(error) && error.sqlState === FEATURE_NOT_SUPPORTED && error.message.includes("UTF8");
}

async function connectByMode(settings: ConnectionSettings, options: HostRequest): Promise<AuthenticatedConnection> {
  const limitMs = settings.connectTimeoutMs > 0 ? settings.connectTimeoutMs : CONNECT_TIMEOUT_MS_MAX;
  const attempts = planAttempts(settings);
  let firstFailure: OperatingError | null = null;
  for (const [index, attempt] of attempts.entries()) {
    try {
      return await tryOnce(settings, options, attempt, limitMs);
    } catch (error) {
      const failure = error instanceof TlsAttemptError || error instanceof EarlyRefusal ? error.failure : error;
      if (error instanceof NextHost) throw new NextHost(withFirstFailure(error.failure, firstFailure));
      if (failure === error || !(failure instanceof OperatingError) || index === attempts.length - 1) {
        throw failure instanceof OperatingError ? withFirstFailure(failure, firstFailure) : failure;
      }
      firstFailure = failure;
    }
  }
  throw connectionFailure(settings, "no attempt was possible");
}

interface Attempt {
  readonly tls: (() => Promise<ConnectionOptions>) | null;
  readonly needsTls: boolean;
}

function planAttempts(settings: ConnectionSettings): readonly Attempt[] {
  const plain: Attempt = { tls: null, needsTls: false };
  const { mode } = settings.tls;
  if (mode === "disable" || usesUnixSocket(settings)) return [plain];
  const tls = (): Promise<ConnectionOptions> => loadTlsOptions(settings);
  if (mode === "allow") return [plain, { tls, needsTls: true }];
  if (mode === "prefer") return [{ tls, needsTls: false }, plain];
  return [{ tls, needsTls: true }];
}

async function tryOnce(
  settings: ConnectionSettings,
  options: HostRequest,
  attempt: Attempt,
  limitMs: number,
): Promise<AuthenticatedConnection> {
  options.signal?.throwIfAborted();
  const controller = new AbortController();
  const progress = { step: "connecting", isReached: false, isLate: false };
  const timer = setTimeout(() => {
    progress.isLate = true;
    controller.abort(timeoutFailure(settings, progress.step));
  }, limitMs);
  const forward = (): void => controller.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", forward, { once: true });
  try {
    const { signal } = controller;
    const onReached = (): void => void (progress.isReached = true);
    const { createSocket } = options;
    const transport = await openTransport(settings, { ...attempt, signal, createSocket, onReached });
    progress.step = "logging in";
    const greeting = await authenticate(settings, transport, startupParameters(settings, options), signal);
    refuseUnaskedCertificate(settings, transport);
    const session = { settings, transport, parameters: greeting.parameters, signal };
    const objection = await objectionTo(options.wanted, session);
    if (objection === null) {
      return { ...greeting, ...transport, settings: withAddressMet(settings, transport.socket.remoteAddress) };
    }
    transport.socket.on("error", () => {}).destroy();
    const { targetSessionAttributes } = settings;
    throw new NextHost(
      connectionFailure(settings, objection, {
        hint: `Connect to another server, or do without target_session_attrs=${targetSessionAttributes}.`,
      }),
    );
  } catch (error) {
    const isAnswer = progress.isReached && !progress.isLate && !isStartingUp(error);
    if (!isAnswer && error instanceof OperatingError && options.signal?.aborted !== true) throw new NextHost(error);
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", forward);
  }
}

// sslcertmode=require: whoever does not ask for our certificate is not the server that was meant.
function refuseUnaskedCertificate(settings: ConnectionSettings, { socket, isTls }: Transport): void {
  if (settings.tls.certificateMode !== "require") return;
  if (isTls && asksForCertificate(socket as TLSSocket)) return;
  socket.on("error", () => {}).destroy();
  throw connectionFailure(settings, "the server did not ask for a client certificate, but sslcertmode is require", {
    hint: "Set ssl_ca_file on the server and a hostssl line with clientcert or cert, or use sslcertmode=allow.",
  });
}

function isStartingUp(error: unknown): boolean {
  return isOperatingError(error) && error.sqlState === CANNOT_CONNECT_NOW;
}

// A link-local address says nothing without its interface, which Node does not tell.
function withAddressMet(settings: ConnectionSettings, address: string | undefined): ConnectionSettings {
  const isLinkLocal = /^fe[89ab]/i.test(address ?? "");
  if (address === undefined || usesUnixSocket(settings) || isLinkLocal) return settings;
  return { ...settings, hostAddress: address };
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
function withFirstFailure(failure: OperatingError, first: OperatingError | null): OperatingError {
  if (first === null || failure.message === first.message) return failure;
  const reason = first.message.slice(first.message.indexOf(": ") + 2);
  return new OperatingError(failure.code, failure.message, {
    detail: `${failure.detail === undefined ? "" : `${failure.detail} `}The attempt before it failed with: ${reason}.`,
    hint: failure.hint,
    retryable: failure.retryable,
    cause: failure,
    sqlState: failure.sqlState,
  });
}
