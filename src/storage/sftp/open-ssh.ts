// Connects, checks the host's key, logs in and opens the SFTP channel; hosts on the way are logged in to one after another, each
// through a stream that the one before forwards. The socket is our own, without Nagle's delay: with
// the library's, 40 ms pass between two requests. Keepalives tell a dead network from a silent server.

import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { AnyAuthMethod, AuthHandlerMiddleware, Client, SFTPWrapper } from "ssh2";
import ssh2 from "ssh2";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { CONNECT_TIMEOUT_MS, forward } from "./forward.ts";
import { hostKeyAlgorithms, readKnownHost, refusalOfHostKey } from "./host-key.ts";
import type { KnownHost } from "./known-hosts.ts";
import { findLogin, nameOfMethod } from "./login.ts";
import type { Login } from "./login.ts";
import { connectionLost, unreachable } from "./sftp-errors.ts";
import { addressOf } from "./sftp-location.ts";
import { withUnreadSettings } from "./unread-settings.ts";
import type { SftpLocation } from "./sftp-location.ts";

/** Greeting, keys and login; servers that look up names are slow at it. */
const LOGIN_TIMEOUT_MS = 30_000;
const KEEPALIVE_INTERVAL_MS = 15_000;
const KEEPALIVES_LOST_MAX = 3;
/** Reason codes of SSH_MSG_DISCONNECT: RFC 4253, "Disconnection Message". */
const DISCONNECT_TOO_MANY_FAILURES = 2;
/** Fast where the processor helps, and all of them authenticated. */
const CIPHERS = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "chacha20-poly1305@openssh.com",
  "aes128-ctr",
  "aes192-ctr",
  "aes256-ctr",
] as const;

/** A connection that is ready for requests. */
export interface OpenSsh {
  readonly client: Client;
  readonly sftp: SFTPWrapper;
  readonly socket: Socket;
}

/** A host to log in to, and what is known of it and for it. */
interface Hop {
  readonly location: SftpLocation;
  readonly known: KnownHost;
  readonly login: Login;
}

/**
 * Opens a connection, through the hosts on the way if there are any. Throws OperatingError "connection_failed",
 * "permission_denied", "usage", "storage_failed".
 */
export async function openSsh(
  location: SftpLocation,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<OpenSsh> {
  const jumps = location.jumpHosts.map((host) => ({ ...location, ...host }));
  const hopTo = async (host: SftpLocation): Promise<Hop> => {
    const [known, login] = await Promise.all([readKnownHost(host), findLogin(host, environment, host !== location)]);
    return { location: host, known, login };
  };
  const hops = await Promise.all([...jumps, location].map(hopTo));
  try {
    return await openOver(hops);
  } catch (error) {
    throw await withUnreadSettings(error, location);
  }
}

async function openOver(hops: readonly Hop[]): Promise<OpenSsh> {
  const [first] = hops;
  assert(first !== undefined, "there is a host to connect to");
  const socket = await connectSocket(first.location).catch((error: unknown) => {
    throw unreachable(error, whereOf(first));
  });
  try {
    let client = await logIn(first, socket);
    let last = first;
    for (const hop of hops.slice(1)) {
      client = await logIn(hop, await forward(client, whereOf(last), hop.location));
      last = hop;
    }
    const sftp = await openChannel(client).catch((error: unknown) => {
      throw unreachable(error, whereOf(last));
    });
    return { client, sftp, socket };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function whereOf({ location: { host, port } }: Hop): string {
  return addressOf(host, port);
}

/** Greets a host over a way to it, checks its key and logs in. */
async function logIn({ known, location, login }: Hop, way: Duplex): Promise<Client> {
  const where = addressOf(location.host, location.port);
  const client = new ssh2.Client();
  let refusal: OperatingError | null = null;
  const tried: string[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      // It stays: nobody else listens for what befalls a host on the way.
      client.on("error", (error: Error & { level?: string }) => {
        // The library goes on without the agent.
        if (error.level !== "agent") reject(error);
      });
      client.on("close", () => reject(connectionLost(where)));
      client.on("ready", resolve);
      client.connect({
        sock: way,
        username: location.user,
        readyTimeout: LOGIN_TIMEOUT_MS,
        keepaliveInterval: KEEPALIVE_INTERVAL_MS,
        keepaliveCountMax: KEEPALIVES_LOST_MAX,
        algorithms: { cipher: [...CIPHERS], serverHostKey: hostKeyAlgorithms(known), compress: ["none"] },
        hostVerifier: (key: Buffer) => {
          refusal = refusalOfHostKey(location, known, key);
          return refusal === null;
        },
        // The types leave out how the library begins (null) and how it is told that nothing is left (false).
        authHandler: nextMethod(login, location, tried) as AuthHandlerMiddleware,
      });
    });
    return client;
  } catch (error) {
    throw refusal ?? loginRefusal(error, { location, login, tried }) ?? unreachable(error, where);
  }
}

async function connectSocket({ host, port }: SftpLocation): Promise<Socket> {
  const socket = new Socket();
  socket.setNoDelay(true);
  try {
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        reject(
          Object.assign(new Error(`nobody answered within ${CONNECT_TIMEOUT_MS / 1000} s`), { code: "ETIMEDOUT" }),
        );
      };
      socket.setTimeout(CONNECT_TIMEOUT_MS, giveUp);
      socket.once("error", reject);
      socket.connect({ host, port }, resolve);
    });
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    throw error;
  }
  socket.setTimeout(0);
  socket.removeAllListeners("timeout");
  return socket;
}

type AuthHandler = (
  methodsLeft: readonly string[] | null,
  partialSuccess: boolean | null,
  next: (method: AnyAuthMethod | false) => void,
) => void;

/** Asks first which methods the server takes; then tries what it takes. */
function nextMethod({ methods }: Login, location: SftpLocation, tried: string[]): AuthHandler {
  const left = [...methods];
  return (methodsLeft, _partialSuccess, next) => {
    if (methodsLeft === null) return next({ type: "none", username: location.user });
    for (let method = left.shift(); method !== undefined; method = left.shift()) {
      if (!methodsLeft.includes(method.type === "agent" ? "publickey" : method.type)) continue;
      tried.push(nameOfMethod(method, location));
      return next(method);
    }
    return next(false);
  };
}

async function openChannel(client: Client): Promise<SFTPWrapper> {
  return await new Promise((resolve, reject) => {
    const limit = setTimeout(
      () => reject(new Error(`SFTP did not begin within ${LOGIN_TIMEOUT_MS / 1000} s`)),
      LOGIN_TIMEOUT_MS,
    );
    client.on("close", () => reject(new Error("the connection was closed before SFTP began")));
    client.sftp((error, sftp) => {
      clearTimeout(limit);
      if (error === undefined) resolve(sftp);
      else if (/subsystem|exec|open failure|channel open/i.test(error.message)) {
        reject(
          new OperatingError("storage_failed", "the SSH server offers no SFTP", {
            detail: `The reason given: ${error.message}.`,
            hint: "Let the server have an SFTP subsystem, and this user open it (OpenSSH: Subsystem sftp internal-sftp).",
          }),
        );
      } else reject(error);
    });
  });
}

interface LoginFacts {
  readonly location: SftpLocation;
  readonly login: Login;
  readonly tried: readonly string[];
}

/** Null when it was not the login that failed. */
function loginRefusal(error: unknown, { location, login, tried }: LoginFacts): OperatingError | null {
  const { code, level } = error as { readonly code?: unknown; readonly level?: unknown };
  const isTooMany = code === DISCONNECT_TOO_MANY_FAILURES;
  if (level !== "client-authentication" && !isTooMany) return null;
  const { host, port, user } = location;
  const attempts = tried.length === 0 ? "Nothing could be tried." : `Tried: ${tried.join(", ")}.`;
  const leftOut = login.leftOut.length === 0 ? "" : ` Left out: ${login.leftOut.join(", ")}.`;
  return new OperatingError("permission_denied", `${addressOf(host, port)} does not let "${user}" log in`, {
    detail: attempts + leftOut,
    hint: isTooMany
      ? "The server counts each key that is offered: name the right one with identity=FILE in the URI."
      : "Check the user in the URI, and that the server has the public key of one of these (docs/operating/off-site.md).",
    cause: error,
  });
}
