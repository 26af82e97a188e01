// The table of libpq's connection parameters: which are known, and the environment variable of each.
// Source: PostgreSQL manual, "Parameter Key Words" and "Environment Variables" of libpq, version 18.

import { OperatingError } from "../base/errors.ts";

/** What becomes of a parameter: used; accepted without effect here; or refused, unless it has the value that asks nothing. */
interface ParameterRule {
  readonly environment?: string;
  readonly ignored?: true;
  /** Not supported: only these values (and none) are accepted. */
  readonly only?: readonly string[];
}

const PARAMETERS = {
  host: { environment: "PGHOST" },
  hostaddr: { environment: "PGHOSTADDR" },
  port: { environment: "PGPORT" },
  dbname: { environment: "PGDATABASE" },
  user: { environment: "PGUSER" },
  password: { environment: "PGPASSWORD" },
  passfile: { environment: "PGPASSFILE" },
  service: { environment: "PGSERVICE" },
  servicefile: { environment: "PGSERVICEFILE" },
  connect_timeout: { environment: "PGCONNECT_TIMEOUT" },
  client_encoding: { environment: "PGCLIENTENCODING" },
  options: { environment: "PGOPTIONS" },
  application_name: { environment: "PGAPPNAME" },
  fallback_application_name: {},
  replication: {},
  target_session_attrs: { environment: "PGTARGETSESSIONATTRS" },
  load_balance_hosts: { environment: "PGLOADBALANCEHOSTS" },
  keepalives: {},
  keepalives_idle: {},
  keepalives_interval: { ignored: true },
  keepalives_count: { ignored: true },
  tcp_user_timeout: { ignored: true },
  channel_binding: { environment: "PGCHANNELBINDING" },
  sslmode: { environment: "PGSSLMODE" },
  sslnegotiation: { environment: "PGSSLNEGOTIATION" },
  sslrootcert: { environment: "PGSSLROOTCERT" },
  sslcert: { environment: "PGSSLCERT" },
  sslkey: { environment: "PGSSLKEY" },
  sslpassword: {},
  sslcertmode: { environment: "PGSSLCERTMODE" },
  sslcrl: { environment: "PGSSLCRL" },
  sslsni: { environment: "PGSSLSNI" },
  ssl_min_protocol_version: { environment: "PGSSLMINPROTOCOLVERSION" },
  ssl_max_protocol_version: { environment: "PGSSLMAXPROTOCOLVERSION" },
  sslcompression: { environment: "PGSSLCOMPRESSION", ignored: true },
  krbsrvname: { environment: "PGKRBSRVNAME", ignored: true },
  gsslib: { environment: "PGGSSLIB", ignored: true },
  max_protocol_version: { environment: "PGMAXPROTOCOLVERSION", ignored: true },
  min_protocol_version: { environment: "PGMINPROTOCOLVERSION", only: ["3.0"] },
  gssencmode: { environment: "PGGSSENCMODE", only: ["disable", "prefer"] },
  gssdelegation: { environment: "PGGSSDELEGATION", only: ["0"] },
  sslcrldir: { environment: "PGSSLCRLDIR", only: [] },
  requirepeer: { environment: "PGREQUIREPEER", only: [] },
  require_auth: { environment: "PGREQUIREAUTH", only: [] },
  sslkeylogfile: { only: [] },
  scram_client_key: { only: [] },
  scram_server_key: { only: [] },
  oauth_issuer: { only: [] },
  oauth_client_id: { only: [] },
  oauth_client_secret: { only: [] },
  oauth_scope: { only: [] },
} as const satisfies Readonly<Record<string, ParameterRule>>;

/** A name of libpq's connection parameters. */
export type ParameterName = keyof typeof PARAMETERS;

/** Values of connection parameters; an empty value counts as not given, as in libpq. */
export type ParameterValues = Map<ParameterName, string>;

/** True for a name that libpq 18 knows. */
export function isParameterName(name: string): name is ParameterName {
  return Object.hasOwn(PARAMETERS, name);
}

/** The values that the environment gives. */
export function parametersOfEnvironment(environment: Readonly<Record<string, string | undefined>>): ParameterValues {
  const values: ParameterValues = new Map();
  for (const [name, rule] of Object.entries(PARAMETERS) as [ParameterName, ParameterRule][]) {
    const value = rule.environment === undefined ? undefined : environment[rule.environment];
    if (value !== undefined) values.set(name, value);
  }
  if (!values.has("sslmode") && environment["PGREQUIRESSL"]?.startsWith("1")) values.set("sslmode", "require");
  return values;
}

/** Throws "usage" for a parameter whose wish cannot be fulfilled, rather than connect otherwise than was asked. */
export function refuseUnsupported(values: ParameterValues): void {
  for (const [name, value] of values) {
    const rule: ParameterRule = PARAMETERS[name];
    if (rule.only === undefined || value === "" || rule.only.includes(value)) continue;
    throw new OperatingError("usage", `connection parameter "${name}" is not supported`, {
      detail:
        rule.only.length > 0 ? `Only these values are accepted: ${rule.only.join(", ")}.` : "It was given a value.",
      hint: `Leave "${name}" out of the connection string, the service file and the environment.`,
    });
  }
}

/** The value of a parameter that is a whole number. Throws "usage" for anything else. */
export function wholeNumber(
  given: string | undefined,
  name: ParameterName,
  limits: { default: number; min: number; max: number },
): number {
  const text = given?.trim();
  if (text === undefined) return limits.default;
  const value = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= limits.min && value <= limits.max) return value;
  throw new OperatingError("usage", `invalid value "${text}" for connection parameter "${name}"`, {
    hint: `It is a whole number from ${limits.min} to ${limits.max}.`,
  });
}
