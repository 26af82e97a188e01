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

/** Where a server is. */
export interface ServerPlace {
  /** Host name, address, or the directory of a unix socket (begins with "/", or "@" for the abstract name space). */
  readonly host: string;
  /** Address to connect to instead of looking up `host`, which then only names the server in its certificate. */
  readonly hostAddress: string | null;
  readonly port: number;
}

/** One of the servers that may be connected to, and what is said to it. */
export interface HostSettings extends ServerPlace {
  readonly password: Secret | null;
  /** Where the password came from, for messages; null without a password. */
  readonly passwordOrigin: string | null;
}

/** libpq's target_session_attrs. */
export const TARGET_SESSION_ATTRIBUTES = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby",
] as const;

/** One of libpq's target_session_attrs. */
export type TargetSessionAttributes = (typeof TARGET_SESSION_ATTRIBUTES)[number];

/** Everything about one connection. The first server stands in the settings themselves. */
export interface ConnectionSettings extends HostSettings {
  /** Tried in this order after the first one. A connection's own settings have none: they are of the server it met. */
  readonly alternatives: readonly HostSettings[];
  /** The server that is named first, whichever was met: for names that must not change when the next one answers. */
  readonly firstNamed: ServerPlace;
  /** Hosts, and the addresses of each, are tried in random order. */
  readonly balancesLoad: boolean;
  readonly database: string;
  readonly user: string;
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
  readonly targetSessionAttributes: TargetSessionAttributes;
  /** What a person should know about how the settings were found, e.g. a password file that was ignored. */
  readonly warnings: readonly string[];
}

/** Settings as plain data for a structured clone. It holds the password in the clear: for worker threads only. */
export interface SerializedConnectionSettings {
  readonly settings: Omit<ConnectionSettings, "password" | "alternatives">;
  readonly password: string | null;
  readonly alternatives: readonly (Omit<HostSettings, "password"> & { readonly password: string | null })[];
  readonly keyPassphrase: string | null;
}

/** Makes settings fit for postMessage() or workerData. */
export function serializeConnectionSettings(settings: ConnectionSettings): SerializedConnectionSettings {
  const { password, alternatives, ...rest } = settings;
  return {
    settings: { ...rest, tls: { ...settings.tls, keyPassphrase: null } },
    password: password?.reveal() ?? null,
    alternatives: alternatives.map((host) => ({ ...host, password: host.password?.reveal() ?? null })),
    keyPassphrase: settings.tls.keyPassphrase?.reveal() ?? null,
  };
}

/** The inverse of serializeConnectionSettings(). */
export function deserializeConnectionSettings(serialized: SerializedConnectionSettings): ConnectionSettings {
  const toSecret = (value: string | null): Secret | null => (value === null ? null : new Secret(value));
  return {
    ...serialized.settings,
    password: toSecret(serialized.password),
    alternatives: serialized.alternatives.map((host) => ({ ...host, password: toSecret(host.password) })),
    tls: { ...serialized.settings.tls, keyPassphrase: toSecret(serialized.keyPassphrase) },
  };
}

/** The settings that lead to each of the servers, in the order in which they are named. */
export function eachHost(settings: ConnectionSettings): readonly ConnectionSettings[] {
  const { host, hostAddress, port, password, passwordOrigin, alternatives } = settings;
  const hosts = [{ host, hostAddress, port, password, passwordOrigin }, ...alternatives];
  return hosts.map((one) => ({ ...settings, ...one, alternatives: [] }));
}

/** The same settings for the one server that another connection of theirs has met. */
export function meetingSameServer(settings: ConnectionSettings, met: ConnectionSettings): ConnectionSettings {
  const { host, hostAddress, port, password, passwordOrigin } = met;
  return { ...settings, host, hostAddress, port, password, passwordOrigin, alternatives: [] };
}

/** True when the server is reached by a unix socket. */
export function usesUnixSocket(settings: Pick<ServerPlace, "host" | "hostAddress">): boolean {
  return settings.hostAddress === null && /^[/@]/.test(settings.host);
}

/**
 * The place of the server, for messages: `db.example:5432`, `[::1]:5432`, `socket /tmp/.s.PGSQL.5432`; of several that
 * may be met, all: `a.example:5432,b.example:5432`.
 */
export function describeServer(
  settings: ServerPlace & { readonly alternatives?: readonly ServerPlace[] | undefined },
): string {
  return [settings, ...(settings.alternatives ?? [])].map((place) => describePlace(place)).join(",");
}

function describePlace(place: ServerPlace): string {
  if (usesUnixSocket(place)) return `socket ${socketPath(place)}`;
  const host = place.host.includes(":") ? `[${place.host}]` : place.host;
  return `${host}:${place.port}`;
}

/** The database, place and user, for messages: `database "shop" on db.example:5432 as "backup"`. */
export function describeConnection(settings: ConnectionSettings): string {
  return `database "${settings.database}" on ${describeServer(settings)} as "${settings.user}"`;
}

/** Path of the unix socket; an abstract name begins with a NUL byte, as Node wants it. */
export function socketPath(settings: Pick<ServerPlace, "host" | "port">): string {
  const path = `${settings.host}/.s.PGSQL.${settings.port}`;
  return path.startsWith("@") ? `\0${path.slice(1)}` : path;
}
