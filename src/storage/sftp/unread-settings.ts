// What ~/.ssh/config says of a host. Cairn does not follow it: a repository's URI has to mean the same for every user and on
// every machine. But who is used to ssh should be told, when a connection fails, what ssh would have done otherwise.
// Limits: Include and Match are not followed; the first value of a setting counts. Source: ssh_config(5).

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { SftpLocation } from "./sftp-location.ts";

const FILE_LENGTH_MAX = 1 * MIB;
const LINE_LENGTH_MAX = 4096;
const VALUE_LENGTH_MAX = 200;
/** Settings that matter for a connection, and what stands for them here. */
const SETTINGS: Readonly<Record<string, { readonly name: string; readonly instead: string }>> = {
  hostname: { name: "HostName", instead: "name that host in the URI" },
  port: { name: "Port", instead: "give the port in the URI" },
  user: { name: "User", instead: "name the user in the URI" },
  identityfile: { name: "IdentityFile", instead: "give identity=FILE in the URI" },
  identityagent: { name: "IdentityAgent", instead: "set SSH_AUTH_SOCK" },
  userknownhostsfile: { name: "UserKnownHostsFile", instead: "give known-hosts=FILE in the URI" },
  proxyjump: { name: "ProxyJump", instead: "give jump=USER@HOST:PORT in the URI" },
  proxycommand: { name: "ProxyCommand", instead: "not supported; for a host on the way there is jump=USER@HOST:PORT" },
  certificatefile: { name: "CertificateFile", instead: "certificates of users are not supported" },
};
/** Their values may hold secrets. */
const UNSHOWN = new Set(["proxycommand"]);

/** The error of a connection that failed; with what the file says of the host, where it says anything. */
export async function withUnreadSettings(error: unknown, location: SftpLocation): Promise<unknown> {
  if (!(error instanceof OperatingError) || !["connection_failed", "permission_denied"].includes(error.code))
    return error;
  const path = join(location.keysFolder, "config");
  const text = await readFile(path, "utf8").catch(() => "");
  const found = text.length <= FILE_LENGTH_MAX ? settingsOf(text, location.host) : [];
  if (found.length === 0) return error;
  const { cause, code, detail, hint, message, retryable } = error;
  const told = `${path} is not read. Of this host it says: ${found.join("; ")}.`;
  return new OperatingError(code, message, {
    detail: detail === undefined ? told : `${detail} ${told}`,
    hint,
    retryable,
    cause,
  });
}

/** `ProxyJump bastion (give jump=… in the URI)` for each setting of that host, as ssh_config(5) gives it; exported for its test. */
export function settingsOf(text: string, host: string): string[] {
  const found = new Map<string, string>();
  let isMeant = true;
  for (const whole of text.split("\n")) {
    const line = whole.slice(0, LINE_LENGTH_MAX);
    const [, keyword = "", value = ""] = /^\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? [];
    const name = keyword.toLowerCase();
    if (name === "host") isMeant = isMatch(value.split(/\s+/), host);
    else if (name === "match") isMeant = false;
    else if (isMeant && value !== "" && Object.hasOwn(SETTINGS, name) && !found.has(name)) found.set(name, value);
  }
  return [...found].flatMap(([name, value]) => {
    const setting = SETTINGS[name];
    if (setting === undefined || value.toLowerCase() === "none") return [];
    const shown = UNSHOWN.has(name) ? "" : ` ${printable(value)}`;
    return [`${setting.name}${shown} (${setting.instead})`];
  });
}

/** Patterns with "*", "?" and, to leave hosts out, "!" before. */
function isMatch(patterns: readonly string[], host: string): boolean {
  const fits = (pattern: string): boolean => {
    const source = pattern.toLowerCase().replaceAll(/[.*+?^${}()|[\]\\]/g, (character) => {
      return character === "*" ? ".*" : character === "?" ? "." : `\\${character}`;
    });
    return new RegExp(`^${source}$`).test(host);
  };
  const unquoted = patterns.map((pattern) => pattern.replaceAll('"', ""));
  if (unquoted.some((pattern) => pattern.startsWith("!") && fits(pattern.slice(1)))) return false;
  return unquoted.some((pattern) => !pattern.startsWith("!") && fits(pattern));
}

function printable(value: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
  return value.slice(0, VALUE_LENGTH_MAX).replaceAll(/[\x00-\x1f\x7f-\x9f]/g, " ");
}
