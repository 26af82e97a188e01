// libpq's sslmode on Node's TLS: which files are read, what is verified, and the handshake on a connected socket.
// Source: PostgreSQL manual, "SSL Support" of libpq, and its connection parameters ssl*.
//
// A root certificate file that exists is used for verification in every mode that does TLS (so require becomes
// verify-ca, as in libpq); verify-full also compares the host name.

import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import type { Socket } from "node:net";
import type { ConnectionOptions, PeerCertificate, TLSSocket } from "node:tls";
import { checkServerIdentity, connect, getCACertificates } from "node:tls";
import { messageOf } from "../base/errors.ts";
import { connectionFailure } from "./connection-errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";

const GROUP_OR_OTHER = 0o077;
const OTHER_OR_GROUP_WRITE = 0o037;
const DIRECT_PROTOCOL = "postgresql";

/** The options of tls.connect() for these settings; reads the certificate files. */
export async function loadTlsOptions(settings: ConnectionSettings): Promise<ConnectionOptions> {
  const { tls } = settings;
  const roots = await loadRoots(settings);
  const named = isIP(settings.host) === 0;
  const options: ConnectionOptions = {
    rejectUnauthorized: roots !== null,
    checkServerIdentity: (_host, certificate) =>
      tls.mode === "verify-full" ? verifyHostName(settings.host, certificate) : undefined,
    ...(roots === null ? {} : { ca: roots }),
    ...(named && tls.sendsServerName ? { servername: settings.host } : {}),
    ...(tls.versionMin === null ? {} : { minVersion: tls.versionMin }),
    ...(tls.versionMax === null ? {} : { maxVersion: tls.versionMax }),
    ...(tls.negotiation === "direct" ? { ALPNProtocols: [DIRECT_PROTOCOL] } : {}),
    ...(await loadClientCertificate(settings)),
  };
  const revocations = await loadRevocations(settings);
  if (roots !== null && revocations !== null) options.crl = revocations;
  return options;
}

/** Does the handshake on a connected socket; rejects with Node's error. */
export function startTls(socket: Socket, options: ConnectionOptions, isDirect: boolean): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tlsSocket = connect({ ...options, socket });
    const detach = (): void => {
      tlsSocket.off("secureConnect", onSecure).off("error", onError).off("close", onClose);
    };
    const onError = (error: Error): void => {
      detach();
      tlsSocket.on("error", () => {}); // later errors of a socket that is being thrown away
      tlsSocket.destroy();
      reject(error);
    };
    const onClose = (): void => onError(new Error("the server closed the connection during the handshake"));
    const onSecure = (): void => {
      if (isDirect && tlsSocket.alpnProtocol !== DIRECT_PROTOCOL) {
        onError(new Error("the server does not confirm the protocol of direct TLS negotiation"));
        return;
      }
      detach();
      resolve(tlsSocket);
    };
    tlsSocket.on("secureConnect", onSecure).on("error", onError).on("close", onClose);
  });
}

// null: there is nothing to verify against.
async function loadRoots(settings: ConnectionSettings): Promise<(string | Buffer)[] | null> {
  const { rootCertificateFile: file, mode } = settings.tls;
  if (file === "system") {
    const roots = getCACertificates("system");
    return roots.length > 0 ? roots : getCACertificates("bundled");
  }
  const exists = await isFile(file);
  if (exists) return [await readTlsFile(settings, file, "root certificate file")];
  if (mode !== "verify-ca" && mode !== "verify-full") return null;
  throw connectionFailure(settings, `root certificate file "${file}" does not exist`, {
    hint:
      "Give the CA's file with sslrootcert=FILE, use the system's trusted roots with sslrootcert=system, " +
      "or change sslmode to do without verification.",
  });
}

async function loadRevocations(settings: ConnectionSettings): Promise<Buffer | null> {
  const { revocationListFile, revocationListIsExplicit } = settings.tls;
  if (!revocationListIsExplicit && !(await isFile(revocationListFile))) return null;
  return readTlsFile(settings, revocationListFile, "certificate revocation list");
}

async function loadClientCertificate(settings: ConnectionSettings): Promise<ConnectionOptions> {
  const { certificateFile, keyFile, certificateIsExplicit, certificateMode } = settings.tls;
  if (certificateMode === "disable") return {};
  if (!(await isFile(certificateFile))) {
    if (!certificateIsExplicit && certificateMode !== "require") return {};
    throw connectionFailure(settings, `certificate file "${certificateFile}" does not exist`, {
      hint: "Check sslcert and sslcertmode.",
    });
  }
  await checkKeyPermissions(settings, keyFile);
  const certificate = await readTlsFile(settings, certificateFile, "certificate file");
  const key = readPrivateKey(settings, await readTlsFile(settings, keyFile, "private key file"));
  checkTheyBelongTogether(settings, certificate, key);
  return { cert: certificate, key: key.export({ type: "pkcs8", format: "pem" }) };
}

// As libpq: PEM, else DER without a passphrase.
function readPrivateKey(settings: ConnectionSettings, bytes: Buffer): KeyObject {
  const { keyFile, keyPassphrase } = settings.tls;
  const isText = bytes.includes("-----BEGIN ");
  const isEncrypted = isText && /ENCRYPTED/.test(bytes.toString("latin1"));
  if (isEncrypted && keyPassphrase === null) {
    throw connectionFailure(settings, `private key file "${keyFile}" is encrypted`, {
      hint: "Give its passphrase with sslpassword, in a service file that nobody else can read.",
    });
  }
  try {
    if (!isText) return derPrivateKey(bytes);
    return createPrivateKey(isEncrypted ? { key: bytes, passphrase: keyPassphrase?.reveal() } : bytes);
  } catch {
    // The library's own words may repeat what it was given.
    const reason = isEncrypted ? "could not be opened with the passphrase given" : "holds no private key";
    throw connectionFailure(settings, `private key file "${keyFile}" ${reason}`, {
      hint: isEncrypted ? "Check sslpassword." : "Check sslkey: it names a file in PEM or DER.",
    });
  }
}

const DER_KINDS = ["pkcs8", "pkcs1", "sec1"] as const;

function derPrivateKey(key: Buffer): KeyObject {
  for (const type of DER_KINDS) {
    try {
      return createPrivateKey({ key, format: "der", type });
    } catch (error) {
      if (type === DER_KINDS.at(-1)) throw error;
    }
  }
  throw new Error("no kind of key was tried");
}

function checkTheyBelongTogether(settings: ConnectionSettings, certificate: Buffer, key: KeyObject): void {
  const { certificateFile, keyFile } = settings.tls;
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate); // the first one of a chain
  } catch (error) {
    throw connectionFailure(settings, `certificate file "${certificateFile}" holds no certificate`, {
      hint: "Check sslcert: it names a file in PEM.",
      cause: error,
    });
  }
  if (parsed.checkPrivateKey(key)) return;
  throw connectionFailure(settings, `private key "${keyFile}" does not belong to certificate "${certificateFile}"`, {
    hint: "Check sslcert and sslkey.",
  });
}

// libpq's rule: 0600 or less, or 0640 or less when root owns the file.
async function checkKeyPermissions(settings: ConnectionSettings, file: string): Promise<void> {
  const status = await stat(file).catch(() => null);
  if (status === null || !status.isFile()) {
    throw connectionFailure(settings, `private key file "${file}" does not exist or is no regular file`, {
      hint: "A client certificate needs its key: check sslkey.",
    });
  }
  const forbidden = status.uid === 0 ? OTHER_OR_GROUP_WRITE : GROUP_OR_OTHER;
  if (process.platform !== "win32" && (status.mode & forbidden) !== 0) {
    throw connectionFailure(settings, `private key file "${file}" has group or world access`, {
      hint: `Run: chmod 0600 '${file}'`,
    });
  }
}

// As libpq: what cannot be looked at counts as not there; the modes that must verify then refuse to connect.
async function isFile(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null))?.isFile() ?? false;
}

async function readTlsFile(settings: ConnectionSettings, file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw connectionFailure(settings, `could not read ${what} "${file}": ${messageOf(error)}`, {
      hint: "Check the path and its permissions.",
      cause: error,
    });
  }
}

// As libpq, an address may also stand as the common name of the certificate.
function verifyHostName(host: string, certificate: PeerCertificate): Error | undefined {
  const error = checkServerIdentity(host, certificate);
  if (error === undefined) return undefined;
  const hasAlternativeNames = /DNS:|IP Address:/.test(certificate.subjectaltname ?? "");
  if (isIP(host) !== 0 && !hasAlternativeNames && certificate.subject?.CN === host) return undefined;
  return error;
}
