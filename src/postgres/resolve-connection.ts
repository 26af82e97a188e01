// The one resolver of connection settings, with libpq's rules: connection string, then service, then environment, then
// the caller's fallback, then the built-in default; the password file last.
// Source: PostgreSQL manual, "Parameter Key Words"; libpq's conninfo_add_defaults and connectOptions2.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { OperatingError } from "../base/errors.ts";
import type { ParameterName, ParameterValues } from "./connection-parameters.ts";
import { parametersOfEnvironment, refuseUnsupported } from "./connection-parameters.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { parseConnectionString } from "./connection-string.ts";
import { lookUpPassword } from "./password-file.ts";
import { Secret } from "./secret.ts";
import { loadService } from "./service-file.ts";
import { oneOf, settleTls } from "./tls-settings.ts";

/** Used when nothing says otherwise; libpq would wait for ever. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 15_000;

const PORT_DEFAULT = 5432;
const CONNECT_TIMEOUT_SECONDS_MIN = 2; // libpq's
const CONNECT_TIMEOUT_SECONDS_MAX = 86_400;
const KEEPALIVE_IDLE_SECONDS_MAX = 32_767;
const SOCKET_FOLDERS = ["/var/run/postgresql", "/tmp"];

/** What the resolver is given; it reads no other environment. */
export interface ResolveOptions {
  /** URI, key=value pairs or a database's name; empty or absent leaves all to the environment. */
  readonly source?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  /** The operating system's name of the user, for the default role. */
  readonly userName: string;
  /** Values by libpq's names that go before all else, e.g. another database of the same server. */
  readonly overrides?: Readonly<Partial<Record<ParameterName, string | undefined>>> | undefined;
  /** Values by libpq's names for what neither string, service nor environment gives. */
  readonly fallback?: Readonly<Partial<Record<ParameterName, string>>> | undefined;
}

/** Settles every setting of a connection. Throws "usage" with the name of what is wrong. */
export async function resolveConnection(options: ResolveOptions): Promise<ConnectionSettings> {
  const { values, origins } = await collect(options);
  refuseUnsupported(values);
  const get = (name: ParameterName): string | undefined => values.get(name);
  const place = await settlePlace(values);
  const user = get("user") ?? options.userName;
  const database = get("dbname") ?? user;
  const { isDefaultHost, ...where } = place;
  const who = { ...where, user, database };
  const password = await settlePassword(values, origins, { ...who, isDefaultHost }, options.homeDirectory);
  return {
    ...who,
    ...password,
    tls: settleTls(values, options.homeDirectory),
    channelBinding: oneOf(values, "channel_binding", ["prefer", "disable", "require"]),
    connectTimeoutMs: settleTimeout(values),
    keepAlive: {
      enabled: integer(values, "keepalives", { default: 1, min: 0, max: 1 }) === 1,
      idleMs: 1000 * integer(values, "keepalives_idle", { default: 0, min: 0, max: KEEPALIVE_IDLE_SECONDS_MAX }),
    },
    applicationName: get("application_name") ?? get("fallback_application_name") ?? null,
    options: get("options") ?? null,
    clientEncoding: settleEncoding(values),
    replication: get("replication") ?? null,
    targetSessionAttributes: oneOf(values, "target_session_attrs", [
      "any",
      "read-write",
      "read-only",
      "primary",
      "standby",
      "prefer-standby",
    ]),
  };
}

type Origin = "the caller" | "the connection string" | "the service file" | "the environment" | "the caller's defaults";

async function collect(
  options: ResolveOptions,
): Promise<{ values: ParameterValues; origins: Map<ParameterName, Origin> }> {
  const values: ParameterValues = new Map();
  const origins = new Map<ParameterName, Origin>();
  const add = (origin: Origin, more: Iterable<readonly [ParameterName, string | undefined]>): void => {
    for (const [name, value] of more) {
      if (value === undefined || value === "" || values.has(name)) continue;
      values.set(name, value);
      origins.set(name, origin);
    }
  };
  const fromEnvironment = parametersOfEnvironment(options.environment);
  add("the caller", Object.entries(options.overrides ?? {}) as [ParameterName, string | undefined][]);
  add("the connection string", parseConnectionString(options.source ?? ""));
  const service = values.get("service") ?? fromEnvironment.get("service");
  if (service !== undefined && service !== "") {
    const explicitFile = values.get("servicefile") ?? (fromEnvironment.get("servicefile") || undefined);
    const systemFolder = options.environment["PGSYSCONFDIR"];
    const places = { explicitFile, systemFolder, homeDirectory: options.homeDirectory };
    add("the service file", await loadService(service, places));
  }
  // sslrootcert=system asks for verify-full, which a weaker environment must not undo silently: settleTls complains.
  add("the environment", fromEnvironment);
  add("the caller's defaults", Object.entries(options.fallback ?? {}) as [ParameterName, string | undefined][]);
  return { values, origins };
}

async function settlePlace(
  values: ParameterValues,
): Promise<Pick<ConnectionSettings, "host" | "hostAddress" | "port"> & { isDefaultHost: boolean }> {
  for (const name of ["host", "hostaddr", "port"] as const) {
    if (!values.get(name)?.includes(",")) continue;
    throw new OperatingError("usage", `several hosts in connection parameter "${name}" are not supported yet`, {
      hint: "Name one host, the primary or a standby.",
    });
  }
  const port = integer(values, "port", { default: PORT_DEFAULT, min: 1, max: 65_535 });
  const hostAddress = values.get("hostaddr") ?? null;
  const host = values.get("host") ?? hostAddress;
  if (host !== null) return { host, hostAddress, port, isDefaultHost: false };
  return { host: await findSocketFolder(port), hostAddress, port, isDefaultHost: true };
}

// libpq has one folder built in (Debian: /var/run/postgresql, others: /tmp); we take the one where a socket is.
async function findSocketFolder(port: number): Promise<string> {
  if (process.platform === "win32") return "localhost";
  // A folder that may not be entered holds no socket for us.
  const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null;
  for (const folder of SOCKET_FOLDERS) if (await exists(join(folder, `.s.PGSQL.${port}`))) return folder;
  return (await exists(SOCKET_FOLDERS[0] as string)) ? (SOCKET_FOLDERS[0] as string) : "/tmp";
}

async function settlePassword(
  values: ParameterValues,
  origins: ReadonlyMap<ParameterName, Origin>,
  who: Pick<ConnectionSettings, "host" | "port" | "database" | "user"> & { isDefaultHost: boolean },
  homeDirectory: string,
): Promise<Pick<ConnectionSettings, "password" | "passwordOrigin" | "warnings">> {
  const given = values.get("password");
  if (given !== undefined) {
    return { password: new Secret(given), passwordOrigin: origins.get("password") ?? null, warnings: [] };
  }
  const file = values.get("passfile") ?? join(homeDirectory, ".pgpass");
  const database = isPhysicalReplication(values) ? "replication" : who.database;
  const isDefaultSocket = who.isDefaultHost || SOCKET_FOLDERS.includes(who.host);
  const found = await lookUpPassword(file, { ...who, database, host: isDefaultSocket ? "localhost" : who.host });
  return {
    password: found.password,
    passwordOrigin: found.password === null ? null : `password file "${file}"`,
    warnings: found.warning === null ? [] : [found.warning],
  };
}

function isPhysicalReplication(values: ParameterValues): boolean {
  return ["true", "on", "yes", "1"].includes(values.get("replication") ?? "");
}

function settleTimeout(values: ParameterValues): number {
  if (!values.has("connect_timeout")) return CONNECT_TIMEOUT_MS_DEFAULT;
  const limits = { default: 0, min: -CONNECT_TIMEOUT_SECONDS_MAX, max: CONNECT_TIMEOUT_SECONDS_MAX };
  const seconds = integer(values, "connect_timeout", limits);
  return seconds <= 0 ? 0 : 1000 * Math.max(seconds, CONNECT_TIMEOUT_SECONDS_MIN);
}

function settleEncoding(values: ParameterValues): string | null {
  const encoding = values.get("client_encoding") ?? null;
  return encoding === "auto" ? null : encoding;
}

function integer(
  values: ParameterValues,
  name: ParameterName,
  limits: { default: number; min: number; max: number },
): number {
  const text = values.get(name)?.trim();
  if (text === undefined) return limits.default;
  const value = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= limits.min && value <= limits.max) return value;
  throw new OperatingError("usage", `invalid value "${text}" for connection parameter "${name}"`, {
    hint: `It is a whole number from ${limits.min} to ${limits.max}.`,
  });
}
