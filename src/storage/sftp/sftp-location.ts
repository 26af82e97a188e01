// What an sftp: URI says: sftp://USER@HOST:PORT/PATH?identity=…&jump=…; docs/operating/off-site.md explains each
// setting to users. A password is never in it. ~/.ssh/config is not read: what it says of a host has to stand here.

import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { OperatingError } from "../../base/errors.ts";
import { parseLocation } from "../storage-location.ts";

const FORM = "sftp://USER@HOST:PORT/PATH?identity=FILE&known-hosts=FILE&jump=USER@HOST:PORT";
const PORT_USUAL = 22;
const PORT_MAX = 65_535;
const HOST = /^[A-Za-z0-9_.:-]{1,253}$/;
const USER_LENGTH_MAX = 256;
const PATH_BYTES_MAX = 1024;
const JUMPS_MAX = 4;
/** As ssh -J has it, without a password. */
const JUMP = /^(?:([^@:,\s]{1,256})@)?(?:\[([^\]]+)\]|([^:@\s]+))(?::([1-9]\d{0,4}))?$/;

/** A host to log in to. */
interface SshHost {
  readonly user: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Where a folder on another host is, and how to get there. */
export interface SftpLocation extends SshHost {
  /** Hosts on the way, the first one first: each is reached through the one before. */
  readonly jumpHosts: readonly SshHost[];
  /** The folder as the server is told: absolute, or relative to the user's home; never "" and without "/" at its end. */
  readonly root: string;
  /** The one key to log in with; null: agent and the usual files. */
  readonly identityFile: string | null;
  /** Where the host's key must stand. */
  readonly knownHostsFiles: readonly string[];
  /** Where the line of an unknown host is to be added. */
  readonly knownHostsFile: string;
  /** The folder of the usual key files. */
  readonly keysFolder: string;
  /** "sftp://user@host:port/path", for messages. */
  readonly description: string;
}

/** Reads an sftp: URI. Throws OperatingError "usage". */
export function parseSftpLocation(
  location: string,
  environment: Readonly<Record<string, string | undefined>>,
): SftpLocation {
  const settingNames = ["identity", "known-hosts", "jump"];
  const parts = parseLocation(location, { form: FORM, settingNames, hasUser: true });
  const host = parts.host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (!HOST.test(host)) throw wrong(host === "" ? "it names no host" : "its host is no name and no address");
  const user = parts.user === "" ? userOf(environment) : parts.user;
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (user === "" || user.length > USER_LENGTH_MAX || /[\x00-\x1f\x7f]/.test(user)) throw wrong("its user is no name");
  const home = environment["HOME"] ?? homedir();
  const fileOf = (name: string): string | null => {
    const path = parts.settings.get(name) ?? null;
    return path?.startsWith("~/") === true ? join(home, path.slice(2)) : path;
  };
  const knownHosts = fileOf("known-hosts");
  const knownHostsFile = knownHosts ?? join(home, ".ssh/known_hosts");
  const port = parts.port === "" ? PORT_USUAL : Number(parts.port);
  return {
    user,
    host,
    port,
    jumpHosts: jumpHostsOf(parts.settings.get("jump"), environment),
    root: rootOf(parts.path),
    identityFile: fileOf("identity"),
    knownHostsFile,
    knownHostsFiles: knownHosts === null ? [knownHostsFile, "/etc/ssh/ssh_known_hosts"] : [knownHosts],
    keysFolder: join(home, ".ssh"),
    description: `sftp://${user}@${addressOf(host, port)}/${parts.path}`,
  };
}

/** The hosts of "jump=", separated by commas. Who logs in there is named, or the user of this machine, as in ssh. */
function jumpHostsOf(text: string | undefined, environment: Readonly<Record<string, string | undefined>>): SshHost[] {
  const hops = text === undefined ? [] : text.split(",");
  if (hops.length > JUMPS_MAX) throw wrong(`"jump" names more than ${JUMPS_MAX} hosts`);
  return hops.map((hop) => {
    const [, user = userOf(environment), address, name, port] = JUMP.exec(hop) ?? [];
    const host = (address ?? name ?? "").toLowerCase();
    // What stands there is not repeated: it may be a password.
    const number = port === undefined ? PORT_USUAL : Number(port);
    if (!HOST.test(host) || number > PORT_MAX) throw wrong('a host of "jump" is not of the form USER@HOST:PORT');
    return { user, host, port: number };
  });
}

/** "host", or "host:port" where the port is not the usual one. */
export function addressOf(host: string, port: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === PORT_USUAL ? name : `${name}:${port}`;
}

/** The path of a URI is absolute unless it begins with "~/". */
function rootOf(path: string): string {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw wrong(`its path is longer than ${PATH_BYTES_MAX} bytes`);
  if (path === "" || path === "~") {
    throw wrong("it names no folder", {
      hint: "sftp://HOST/backups/cairn is the folder /backups/cairn, sftp://HOST/~/cairn the folder cairn in the user's home.",
    });
  }
  return path.startsWith("~/") ? path.slice(2) : `/${path}`;
}

function userOf(environment: Readonly<Record<string, string | undefined>>): string {
  return environment["USER"] ?? environment["LOGNAME"] ?? userInfo().username;
}

function wrong(reason: string, options: { readonly hint?: string } = {}): OperatingError {
  return new OperatingError("usage", `the sftp: URI cannot be used: ${reason}`, {
    hint: `The form is ${FORM}.`,
    ...options,
  });
}
