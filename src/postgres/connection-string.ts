// Reads the three ways to write a connection as one string: URI, key=value pairs, or a database's name.
// Follows libpq's conninfo_uri_parse and conninfo_parse (PostgreSQL manual, "Connection Strings"); messages never
// repeat a piece of the string that may be part of a password.

import { OperatingError } from "../base/errors.ts";
import { isParameterName } from "./connection-parameters.ts";
import type { ParameterName, ParameterValues } from "./connection-parameters.ts";

/** Longest connection string taken. */
export const CONNECTION_STRING_LENGTH_MAX = 65_536;

const URI_SCHEME = /^postgres(?:ql)?:\/\//;

/** The parameters that a connection string gives. Throws "usage" for a malformed one or an unknown parameter. */
export function parseConnectionString(text: string): ParameterValues {
  if (text.length > CONNECTION_STRING_LENGTH_MAX) {
    throw malformed(`is longer than ${CONNECTION_STRING_LENGTH_MAX} characters`);
  }
  if (text.includes("\0")) throw malformed("holds a NUL character");
  if (URI_SCHEME.test(text)) return parseUri(text);
  if (text.includes("=")) return parsePairs(text);
  return text === "" ? new Map() : new Map([["dbname", text]]);
}

function parseUri(text: string): ParameterValues {
  const values: ParameterValues = new Map();
  let rest = text.replace(URI_SCHEME, "");
  const credentials = /^([^@/]*)@/.exec(rest);
  if (credentials !== null) {
    rest = rest.slice(credentials[0].length);
    const [, user = "", password] = /^([^:]*)(?::(.*))?$/s.exec(credentials[1] as string) ?? [];
    if (user !== "") values.set("user", percentDecode(user, "user"));
    if (password !== undefined && password !== "") values.set("password", percentDecode(password, "password"));
  }
  const place = readPlaces(rest);
  if (place.hosts !== "") values.set("host", percentDecode(place.hosts, "host"));
  if (place.ports !== "") values.set("port", percentDecode(place.ports, "port"));
  const [, database = "", query] = /^\/?([^?]*)(?:\?(.*))?$/s.exec(place.rest) ?? [];
  if (database !== "") values.set("dbname", percentDecode(database, "database name"));
  if (query !== undefined) readQuery(query, values);
  return values;
}

// host[:port][,host[:port]…]; an IPv6 address stands in brackets.
function readPlaces(text: string): { hosts: string; ports: string; rest: string } {
  const hosts: string[] = [];
  const ports: string[] = [];
  let rest = text;
  for (;;) {
    const bracketed = /^\[([^\]]*)\]/.exec(rest);
    if (rest.startsWith("[") && bracketed === null) throw malformed('lacks the "]" of an IPv6 host address');
    const host = bracketed?.[1] ?? /^[^:/?,]*/.exec(rest)?.[0] ?? "";
    if (bracketed !== null && host === "") throw malformed("has an empty IPv6 host address");
    rest = rest.slice(bracketed?.[0].length ?? host.length);
    if (rest !== "" && !/^[:/?,]/.test(rest))
      throw malformed('has something other than ":" or "/" after a host address');
    const port = /^:([^/?,]*)/.exec(rest);
    rest = rest.slice(port?.[0].length ?? 0);
    hosts.push(host);
    ports.push(port?.[1] ?? "");
    if (!rest.startsWith(",")) return { hosts: hosts.join(","), ports: ports.join(","), rest };
    rest = rest.slice(1);
  }
}

function readQuery(query: string, values: ParameterValues): void {
  for (const pair of query === "" ? [] : query.split("&")) {
    const parts = pair.split("=");
    if (parts.length === 1) throw malformed('has a query parameter without "="');
    if (parts.length > 2) throw malformed('has a query parameter with more than one "="');
    let name = percentDecode(parts[0] as string, "query parameter");
    let value = percentDecode(parts[1] as string, name);
    if (name === "ssl" && value === "true") [name, value] = ["sslmode", "require"]; // as JDBC writes it
    values.set(known(name, "URI query"), value);
  }
}

function parsePairs(text: string): ParameterValues {
  const values: ParameterValues = new Map();
  let rest = text.trimStart();
  while (rest !== "") {
    const [head, name] = /^([^=\s]*)\s*=\s*/.exec(rest) ?? [];
    if (head === undefined) {
      throw malformed(`lacks a "=" after the word at position ${text.length - rest.length + 1}`);
    }
    rest = rest.slice(head.length);
    const value =
      /^'((?:[^'\\]|\\.)*)'/s.exec(rest) ?? (rest.startsWith("'") ? null : /^((?:[^\s\\]|\\.|\\$)*)/s.exec(rest));
    if (value === null) throw malformed(`has an unterminated quoted string for "${name}"`);
    values.set(known(name as string, "connection"), (value[1] as string).replaceAll(/\\(.?)/gs, "$1"));
    rest = rest.slice(value[0].length).trimStart();
  }
  return values;
}

function known(name: string, kind: string): ParameterName {
  if (isParameterName(name)) return name;
  throw new OperatingError("usage", `invalid ${kind} parameter "${name}"`, {
    hint: "The parameters are those of libpq: host, port, dbname, user, password, sslmode, … Check the spelling.",
  });
}

// No "+" for a space: a URI is not a form.
function percentDecode(text: string, what: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) throw malformed(`has an invalid percent-encoding in its ${what}`);
  if (text.includes("%00")) throw malformed(`has a forbidden %00 in its ${what}`);
  if (!text.includes("%")) return text;
  const bytes = Buffer.from(text, "utf8").toString("latin1");
  const decoded = bytes.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(decoded, "latin1").toString("utf8");
}

function malformed(reason: string): OperatingError {
  return new OperatingError("usage", `the connection string ${reason}`, {
    hint:
      "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE, with special characters percent-encoded, " +
      "or host=… dbname=… user=…",
  });
}
