// What protects a connection, in words for a person: TLS version, what was verified of the server, which certificate of
// ours was shown.

import type { TLSSocket } from "node:tls";
import type { AuthenticatedConnection } from "./connect-host.ts";
import { usesUnixSocket } from "./connection-settings.ts";

/** `TLSv1.3, the server's certificate and name verified with FILE, client certificate FILE`; `none`; `unix socket`. */
export function describeEncryption({ settings, socket, isTls }: AuthenticatedConnection): string {
  if (!isTls) return usesUnixSocket(settings) ? "unix socket" : "none";
  const { mode, rootCertificateFile, certificateFile } = settings.tls;
  const tlsSocket = socket as TLSSocket;
  const subject = mode === "verify-full" ? "certificate and name" : "certificate";
  const server = tlsSocket.authorized
    ? `the server's ${subject} verified with ${rootCertificateFile === "system" ? "the system's roots" : rootCertificateFile}`
    : "the server's certificate not verified";
  const parts = [tlsSocket.getProtocol() ?? "TLS", server];
  const own = tlsSocket.getCertificate();
  const hasOwn = own !== null && Object.keys(own).length > 0;
  if (hasOwn)
    parts.push(`client certificate ${certificateFile}${asksForCertificate(tlsSocket) ? "" : " not asked for"}`);
  return parts.join(", ");
}

/** Whether the server asked for a client certificate: only its request brings a choice of signature algorithms. */
export function asksForCertificate(socket: TLSSocket): boolean {
  return socket.getSharedSigalgs().length > 0;
}
