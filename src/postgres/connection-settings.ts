// What is needed to reach one database of one server, fully settled: no defaults are applied after this.
// Made by resolveConnection(); plain data except for Secret, hence the two functions that carry it across threads.

import { Secret } from "./secret.ts";

/** libpq's sslmode. */
export type TlsMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";

/** How and whether to encrypt; files are absolute or relative to the working directory, and read when connecting. */
export interface TlsSettings {
  readonly mode: TlsMode;
  /** "direct": no SSLRequest before the handshake (PostgreSQL 17 and later). */
  readonly negotiation: "postgres" | "direct";
  /** File of trusted roots, or "system" for those that Node and the system trust. */
  readonly rootCertificateFile: string;
  readonly revocationListFile: string;
  /** False when the file is only libpq's default place and need not exist. */
  readonly revocationListIsExplicit: boolean;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** False when certificate and key are only libpq's default places and need not exist. */
  readonly certificateIsExplicit: boolean;
  readonly certificateMode: "disable" | "allow" | "require";
  readonly keyPassphrase: Secret | null;
  readonly versionMin: TlsVersion | null;
  readonly versionMax: TlsVersion | null;
  /** Whether the host name is told in the handshake (SNI). */
  readonly sendsServerName: boolean;
}

/** A TLS version as Node names it. */
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** Everything about one connection. */
export interface ConnectionSettings {
  /** Host name, address, or the directory of a unix socket (begins with "/", or "@" for the abstract name space). */
  readonly host: string;
  /** Address to connect to instead of looking up `host`, which then only names the server in its certificate. */
  readonly hostAddress: string | null;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: Secret | null;
  /** Where the password came from, for messages; null without a password. */
  readonly passwordOrigin: string | null;
  readonly tls: TlsSettings;
  readonly channelBinding: "disable" | "prefer" | "require";
  readonly connectTimeoutMs: number;
  /** TCP keepalive; `idleMs` 0 leaves the system's delay. */
  readonly keepAlive: { readonly enabled: boolean; readonly idleMs: number };
  readonly applicationName: string | null;
  /** Command-line options for the server, as in PGOPTIONS. */
  readonly options: string | null;
  /** Startup parameter client_encoding; null means UTF8. */
  readonly clientEncoding: string | null;
  /** libpq's `replication` parameter; null for an ordinary session. */
  readonly replication: string | null;
  readonly targetSessionAttributes: string;
  /** What a person should know about how the settings were found, e.g. a password file that was ignored. */
  readonly warnings: readonly string[];
}

/** Settings as plain data for a structured clone. It holds the password in the clear: for worker threads only. */
export interface SerializedConnectionSettings {
  readonly settings: Omit<ConnectionSettings, "password">;
  readonly password: string | null;
  readonly keyPassphrase: string | null;
}

/** Makes settings fit for postMessage() or workerData. */
export function serializeConnectionSettings(settings: ConnectionSettings): SerializedConnectionSettings {
  const { password, ...rest } = settings;
  return {
    settings: { ...rest, tls: { ...settings.tls, keyPassphrase: null } },
    password: password?.reveal() ?? null,
    keyPassphrase: settings.tls.keyPassphrase?.reveal() ?? null,
  };
}

/** The inverse of serializeConnectionSettings(). */
export function deserializeConnectionSettings(serialized: SerializedConnectionSettings): ConnectionSettings {
  const toSecret = (value: string | null): Secret | null => (value === null ? null : new Secret(value));
  return {
    ...serialized.settings,
    password: toSecret(serialized.password),
    tls: { ...serialized.settings.tls, keyPassphrase: toSecret(serialized.keyPassphrase) },
  };
}

/** True when the server is reached by a unix socket. */
export function usesUnixSocket(settings: Pick<ConnectionSettings, "host" | "hostAddress">): boolean {
  return settings.hostAddress === null && /^[/@]/.test(settings.host);
}

/** The place of the server, for messages: `db.example:5432`, `[::1]:5432`, `socket /tmp/.s.PGSQL.5432`. */
export function describeServer(settings: Pick<ConnectionSettings, "host" | "hostAddress" | "port">): string {
  if (usesUnixSocket(settings)) return `socket ${socketPath(settings)}`;
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  return `${host}:${settings.port}`;
}

/** The database, place and user, for messages: `database "shop" on db.example:5432 as "backup"`. */
export function describeConnection(settings: ConnectionSettings): string {
  return `database "${settings.database}" on ${describeServer(settings)} as "${settings.user}"`;
}

/** Path of the unix socket; an abstract name begins with a NUL byte, as Node wants it. */
export function socketPath(settings: Pick<ConnectionSettings, "host" | "port">): string {
  const path = `${settings.host}/.s.PGSQL.${settings.port}`;
  return path.startsWith("@") ? `\0${path.slice(1)}` : path;
}
