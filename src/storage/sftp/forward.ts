// A way to a host through another one that is logged in to: a stream that it forwards, as ssh -J uses it.
// Source: RFC 4254, "TCP/IP Forwarding Channels", "Opening a Channel".

import type { Duplex } from "node:stream";
import type { Client } from "ssh2";
import { messageOf, OperatingError } from "../../base/errors.ts";
import { connectionLost, unreachable } from "./sftp-errors.ts";
import { addressOf } from "./sftp-location.ts";
import type { SftpLocation } from "./sftp-location.ts";

/** So long a host is given to take a connection. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED. */
const PROHIBITED = 1;
/** What a server is told of where the connection comes from; it matters to nobody. */
const FROM = { address: "127.0.0.1", port: 0 } as const;

/** Opens the way; `through` is the address of the client's host. Throws OperatingError "connection_failed", "storage_failed". */
export async function forward(client: Client, through: string, { host, port }: SftpLocation): Promise<Duplex> {
  const where = `${addressOf(host, port)} through ${through}`;
  return await new Promise<Duplex>((resolve, reject) => {
    const giveUp = (): void =>
      reject(unreachable(new Error(`nobody answered within ${CONNECT_TIMEOUT_MS / 1000} s`), where));
    const limit = setTimeout(giveUp, CONNECT_TIMEOUT_MS);
    client.on("close", () => reject(connectionLost(through)));
    client.forwardOut(FROM.address, FROM.port, host, port, (error, stream) => {
      clearTimeout(limit);
      if (error === undefined) resolve(stream);
      else reject(refusalOf(error, where) ?? unreachable(error, where));
    });
  });
}

function refusalOf(error: Error & { readonly reason?: unknown }, where: string): OperatingError | null {
  if (error.reason !== PROHIBITED) return null;
  return new OperatingError("connection_failed", `no SSH connection with ${where}: it lets nothing through`, {
    detail: `The reason given: ${messageOf(error)}.`,
    hint: 'Let it forward connections for this user (OpenSSH: "AllowTcpForwarding local" and, where it is set, "PermitOpen").',
    cause: error,
  });
}
