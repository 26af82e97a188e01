// From settings to a connected byte stream: TCP or unix socket, then TLS if wanted. Nothing is said yet of who we are.
// One attempt only; connect.ts decides whether another follows.

import dns from "node:dns";
import { Socket } from "node:net";
import type { LookupFunction } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { OperatingError } from "../base/errors.ts";
import { closedFailure, connectionFailure, networkFailure, tlsFailure } from "./connection-errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { socketPath, usesUnixSocket } from "./connection-settings.ts";
import { encodeSslRequest } from "./messages.ts";
import { shuffle } from "./shuffle.ts";
import { startTls } from "./tls.ts";

// How long one of a name's several addresses is tried before the next is tried beside it.
const ADDRESS_ATTEMPT_MS = 2000;
const SSL_ACCEPTED = 0x53; // S
const SSL_REFUSED = 0x4e; // N

/** A connected socket, paused, without listeners of ours. */
export interface Transport {
  readonly socket: Socket | TLSSocket;
  readonly isTls: boolean;
}

/** How to open a transport. */
export interface TransportOptions {
  /** Loads the options of tls.connect(), its failure being one of TLS; null does not ask for TLS. */
  readonly tls: (() => Promise<ConnectionOptions>) | null;
  /** With `tls`: whether a server without TLS is an error ("require") or spoken to in plain ("prefer"). */
  readonly needsTls: boolean;
  readonly signal: AbortSignal;
  readonly createSocket: (() => Socket) | undefined;
  /** Called when the other side has taken the connection, before a byte of it. */
  readonly onReached?: () => void;
}

/** Thrown when TLS was tried and failed, so that sslmode=prefer can go on without. */
export class TlsAttemptError extends Error {
  readonly failure: OperatingError;

  constructor(failure: OperatingError) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Opens the transport. Throws OperatingError, TlsAttemptError, or the signal's reason. */
export async function openTransport(settings: ConnectionSettings, options: TransportOptions): Promise<Transport> {
  options.signal.throwIfAborted();
  const socket = options.createSocket?.() ?? new Socket();
  const abort = (): void => void socket.destroy();
  options.signal.addEventListener("abort", abort, { once: true });
  try {
    await connectSocket(settings, socket);
    options.onReached?.();
    if (options.tls === null) return { socket, isTls: false };
    return await negotiateTls(settings, socket, options.tls, options.needsTls);
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    options.signal.throwIfAborted();
    throw error;
  } finally {
    options.signal.removeEventListener("abort", abort);
  }
}

async function negotiateTls(
  settings: ConnectionSettings,
  socket: Socket,
  loadOptions: () => Promise<ConnectionOptions>,
  needsTls: boolean,
): Promise<Transport> {
  const isDirect = settings.tls.negotiation === "direct";
  if (!isDirect) {
    const answer = await requestTls(settings, socket);
    if (answer === SSL_REFUSED) {
      if (!needsTls) return { socket, isTls: false };
      throw connectionFailure(settings, "the server does not support TLS, but it was required", {
        hint: `Switch on ssl in postgresql.conf, or use a weaker sslmode than ${settings.tls.mode}.`,
      });
    }
    if (answer !== SSL_ACCEPTED) {
      throw new TlsAttemptError(
        connectionFailure(settings, "the server answered the request for TLS with an error", {
          hint: "Look at the server's log. Is this the port of a PostgreSQL server?",
        }),
      );
    }
  }
  try {
    const tlsSocket = await startTls(socket, await loadOptions(), isDirect);
    tlsSocket.pause();
    return { socket: tlsSocket, isTls: true };
  } catch (error) {
    const isOurs = error instanceof OperatingError; // a file of ours cannot be used
    throw new TlsAttemptError(isOurs ? error : tlsFailure(settings, error));
  }
}

function connectSocket(settings: ConnectionSettings, socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const detach = (): void => {
      socket.off("connect", onConnect).off("error", onError).off("close", onClose);
    };
    const onConnect = (): void => {
      detach();
      socket.setNoDelay(true);
      if (settings.keepAlive.enabled && !usesUnixSocket(settings)) {
        socket.setKeepAlive(true, settings.keepAlive.idleMs);
      }
      resolve();
    };
    const onError = (error: Error): void => {
      detach();
      reject(networkFailure(settings, error));
    };
    const onClose = (): void => {
      detach();
      reject(closedFailure(settings, "connecting"));
    };
    if (!socket.pending) {
      onConnect();
      return;
    }
    socket.on("connect", onConnect).on("error", onError).on("close", onClose);
    if (!socket.connecting) startConnecting(settings, socket);
  });
}

function startConnecting(settings: ConnectionSettings, socket: Socket): void {
  if (usesUnixSocket(settings)) {
    socket.connect({ path: socketPath(settings) });
    return;
  }
  socket.connect({
    host: settings.hostAddress ?? settings.host,
    port: settings.port,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    ...(settings.balancesLoad ? { lookup: shuffledLookup } : {}),
  });
}

/** Looks a name up and gives its addresses in random order. */
const shuffledLookup: LookupFunction = (name, options, callback) => {
  dns.lookup(name, options, (error, found: string | dns.LookupAddress[], family) => {
    if (Array.isArray(found)) shuffle(found);
    callback(error, found, family);
  });
};

// Exactly one byte is the answer: more would be plain text smuggled in before the handshake (CVE-2021-23222).
function requestTls(settings: ConnectionSettings, socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    const detach = (): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
    };
    const onData = (bytes: Uint8Array): void => {
      detach();
      socket.pause();
      if ((bytes[0] === SSL_ACCEPTED || bytes[0] === SSL_REFUSED) && bytes.length > 1) {
        reject(connectionFailure(settings, "unencrypted bytes after the answer to the request for TLS"));
        return;
      }
      resolve(bytes[0] as number);
    };
    const onError = (error: Error): void => {
      detach();
      reject(networkFailure(settings, error));
    };
    const onClose = (): void => {
      detach();
      reject(closedFailure(settings, "asking for TLS"));
    };
    socket.on("data", onData).on("error", onError).on("close", onClose);
    socket.resume();
    socket.write(encodeSslRequest());
  });
}
