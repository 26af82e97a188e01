// The one resolver of connection settings, with libpq's rules: connection string, then service, then environment, then
// the caller's fallback, then the built-in default; the password file last.
// Source: PostgreSQL manual, "Parameter Key Words"; libpq's conninfo_add_defaults and connectOptions2.

import { join } from "node:path";
import type { ParameterName, ParameterValues } from "./connection-parameters.ts";
import { parametersOfEnvironment, refuseUnsupported, wholeNumber } from "./connection-parameters.ts";
import { TARGET_SESSION_ATTRIBUTES } from "./connection-settings.ts";
import type { ConnectionSettings, HostSettings } from "./connection-settings.ts";
import { parseConnectionString } from "./connection-string.ts";
import { settleHosts, SOCKET_FOLDERS } from "./host-list.ts";
import type { NamedPlace } from "./host-list.ts";
import { lookUpPassword } from "./password-file.ts";
import { Secret } from "./secret.ts";
import { loadService } from "./service-file.ts";
import { oneOf, settleTls } from "./tls-settings.ts";

/** Used when nothing says otherwise; libpq would wait for ever. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 15_000;

const CONNECT_TIMEOUT_SECONDS_MIN = 2; // libpq's
const CONNECT_TIMEOUT_SECONDS_MAX = 86_400;
const KEEPALIVE_IDLE_SECONDS_MAX = 32_767;

/** What the resolver is given; it reads no other environment. */
export interface ResolveOptions {
  /** URI, key=value pairs or a database's name; empty or absent leaves all to the environment. */
  readonly source?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  /** The operating system's name of the user, for the default role. */
  readonly userName: string;
  /** Values by libpq's names that go before all else, e.g. another database of the same server; null: has none. */
  readonly overrides?: Readonly<Partial<Record<ParameterName, string | null | undefined>>> | undefined;
  /** Values by libpq's names for what neither string, service nor environment gives. */
  readonly fallback?: Readonly<Partial<Record<ParameterName, string>>> | undefined;
}

/** Settles every setting of a connection. Throws "usage" with the name of what is wrong. */
export async function resolveConnection(options: ResolveOptions): Promise<ConnectionSettings> {
  const { values, origins } = await collect(options);
  refuseUnsupported(values);
  const get = (name: ParameterName): string | undefined => values.get(name);
  const user = get("user") ?? options.userName;
  const database = get("dbname") ?? user;
  const places = await settleHosts(values);
  const passwords = { values, origins, user, database, homeDirectory: options.homeDirectory };
  const [{ host, hostAddress, port }] = places;
  return {
    ...(await settlePasswords(places, passwords)),
    firstNamed: { host, hostAddress, port },
    user,
    database,
    balancesLoad: oneOf(values, "load_balance_hosts", ["disable", "random"]) === "random",
    tls: settleTls(values, options.homeDirectory),
    channelBinding: oneOf(values, "channel_binding", ["prefer", "disable", "require"]),
    connectTimeoutMs: settleTimeout(values),
    keepAlive: {
      enabled: wholeNumber(get("keepalives"), "keepalives", { default: 1, min: 0, max: 1 }) === 1,
      idleMs: 1000 * settleIdle(values),
    },
    applicationName: get("application_name") ?? get("fallback_application_name") ?? null,
    options: get("options") ?? null,
    clientEncoding: settleEncoding(values),
    replication: get("replication") ?? null,
    targetSessionAttributes: oneOf(values, "target_session_attrs", TARGET_SESSION_ATTRIBUTES),
  };
}

type Origin = "the caller" | "the connection string" | "the service file" | "the environment" | "the caller's defaults";

async function collect(
  options: ResolveOptions,
): Promise<{ values: ParameterValues; origins: Map<ParameterName, Origin> }> {
  const values: ParameterValues = new Map();
  const origins = new Map<ParameterName, Origin>();
  const cleared = new Set(
    Object.entries(options.overrides ?? {}).flatMap(([name, value]) => (value === null ? name : [])),
  );
  const add = (origin: Origin, more: Iterable<readonly [ParameterName, string | null | undefined]>): void => {
    for (const [name, value] of more) {
      if (value === undefined || value === null || value === "" || values.has(name) || cleared.has(name)) continue;
      values.set(name, value);
      origins.set(name, origin);
    }
  };
  const fromEnvironment = parametersOfEnvironment(options.environment);
  add("the caller", Object.entries(options.overrides ?? {}) as [ParameterName, string | null | undefined][]);
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

interface PasswordSources {
  readonly values: ParameterValues;
  readonly origins: ReadonlyMap<ParameterName, Origin>;
  readonly database: string;
  readonly user: string;
  readonly homeDirectory: string;
}

// One that was given is of all hosts; else the password file has one for each.
async function settlePasswords(
  places: readonly NamedPlace[],
  sources: PasswordSources,
): Promise<HostSettings & Pick<ConnectionSettings, "alternatives" | "warnings">> {
  const warnings = new Set<string>();
  const hosts: HostSettings[] = [];
  for (const { isDefaultHost, ...place } of places) {
    const { warning, ...found } = await settlePassword({ ...place, isDefaultHost }, sources);
    if (warning !== null) warnings.add(warning);
    hosts.push({ ...place, ...found });
  }
  const [first, ...alternatives] = hosts as [HostSettings, ...HostSettings[]];
  return { ...first, alternatives, warnings: [...warnings] };
}

async function settlePassword(
  { host, port, isDefaultHost }: NamedPlace,
  { values, origins, user, database, homeDirectory }: PasswordSources,
): Promise<Pick<ConnectionSettings, "password" | "passwordOrigin"> & { readonly warning: string | null }> {
  const given = values.get("password");
  if (given !== undefined) {
    return { password: new Secret(given), passwordOrigin: origins.get("password") ?? null, warning: null };
  }
  const file = values.get("passfile") ?? join(homeDirectory, ".pgpass");
  const isDefaultSocket = isDefaultHost || SOCKET_FOLDERS.some((folder) => folder === host);
  const { password, warning } = await lookUpPassword(file, {
    host: isDefaultSocket ? "localhost" : host,
    port,
    database: isPhysicalReplication(values) ? "replication" : database,
    user,
  });
  return { password, passwordOrigin: password === null ? null : `password file "${file}"`, warning };
}

function isPhysicalReplication(values: ParameterValues): boolean {
  return ["true", "on", "yes", "1"].includes(values.get("replication") ?? "");
}

function settleTimeout(values: ParameterValues): number {
  if (!values.has("connect_timeout")) return CONNECT_TIMEOUT_MS_DEFAULT;
  const limits = { default: 0, min: -CONNECT_TIMEOUT_SECONDS_MAX, max: CONNECT_TIMEOUT_SECONDS_MAX };
  const seconds = wholeNumber(values.get("connect_timeout"), "connect_timeout", limits);
  return seconds <= 0 ? 0 : 1000 * Math.max(seconds, CONNECT_TIMEOUT_SECONDS_MIN);
}

function settleEncoding(values: ParameterValues): string | null {
  const encoding = values.get("client_encoding") ?? null;
  return encoding === "auto" ? null : encoding;
}

function settleIdle(values: ParameterValues): number {
  const limits = { default: 0, min: 0, max: KEEPALIVE_IDLE_SECONDS_MAX };
  return wholeNumber(values.get("keepalives_idle"), "keepalives_idle", limits);
}
