// Files of known host keys: which keys a host has, which are revoked. Pure. Not done: @cert-authority lines (host
// certificates), which are counted so that an error can say so.
// Source: OpenSSH's manual page sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const PORT_USUAL = 22;
const LINE_LENGTH_MAX = 64 * 1024;
/** A line with any other marker says nothing: ssh passes over it too. */
const MARKERS = ["", "@cert-authority", "@revoked"];

/** What the files say of one host. */
export interface KnownHost {
  /** Keys as SSH sends them. */
  readonly keys: readonly Buffer[];
  readonly revoked: readonly Buffer[];
  /** Keys of the same host under its usual port: ssh takes these too. */
  readonly keysOfUsualPort: readonly Buffer[];
  /** True when a line for this host names an authority, which is not looked at. */
  readonly hasAuthority: boolean;
}

/** "host", or "[host]:port": how a host is called in such a file. */
export function knownHostName(host: string, port: number): string {
  return port === PORT_USUAL ? host : `[${host}]:${port}`;
}

/** Looks a host up in the texts of known_hosts files. Lines that cannot be read are passed over, as ssh does. */
export function findKnownHost(texts: readonly string[], host: string, port: number): KnownHost {
  const name = knownHostName(host, port);
  const found = { keys: [] as Buffer[], revoked: [] as Buffer[], keysOfUsualPort: [] as Buffer[], hasAuthority: false };
  for (const line of texts.flatMap((text) => text.split("\n"))) {
    const entry = parseLine(line);
    if (entry === null) continue;
    const isOfHost = namesMatch(entry.names, name);
    const isOfUsualPort = port !== PORT_USUAL && namesMatch(entry.names, host);
    if (entry.marker === "@revoked") {
      if (isOfHost || isOfUsualPort) found.revoked.push(entry.key);
    } else if (entry.marker === "@cert-authority") {
      found.hasAuthority ||= isOfHost || isOfUsualPort;
    } else if (isOfHost) found.keys.push(entry.key);
    else if (isOfUsualPort) found.keysOfUsualPort.push(entry.key);
  }
  return found;
}

/** The verdict on a key that a host showed. */
export type HostKeyVerdict = "known" | "unknown" | "changed" | "revoked";

/** Judges a host's key by what is known of it. */
export function judgeHostKey(known: KnownHost, key: Buffer): HostKeyVerdict {
  const has = (keys: readonly Buffer[]): boolean => keys.some((one) => one.equals(key));
  if (has(known.revoked)) return "revoked";
  if (has(known.keys)) return "known";
  if (known.keys.length > 0) return "changed";
  return has(known.keysOfUsualPort) ? "known" : "unknown";
}

/** "SHA256:…", as ssh-keygen -l prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** The type that a key names itself: "ssh-ed25519"; "" for what is no key. */
export function keyTypeOf(key: Buffer): string {
  const length = key.length < 4 ? 0 : key.readUInt32BE(0);
  const type = key.subarray(4, 4 + Math.min(length, 64)).toString("latin1");
  return /^[a-z0-9@.-]+$/.test(type) ? type : "";
}

/** The line that makes a host's key known. */
export function knownHostLine(host: string, port: number, key: Buffer): string {
  return `${knownHostName(host, port)} ${keyTypeOf(key)} ${key.toString("base64")}`;
}

interface Line {
  readonly marker: string;
  readonly names: string;
  readonly key: Buffer;
}

function parseLine(text: string): Line | null {
  if (text.length > LINE_LENGTH_MAX) return null;
  const words = text.trim().split(/[ \t]+/);
  const marker = words[0]?.startsWith("@") === true ? words.shift()! : "";
  if (!MARKERS.includes(marker)) return null;
  const [names = "", type = "", encoded = ""] = words;
  if (names === "" || names.startsWith("#") || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return null;
  const key = Buffer.from(encoded, "base64");
  return keyTypeOf(key) === type ? { marker, names, key } : null;
}

function namesMatch(names: string, wanted: string): boolean {
  if (names.startsWith("|1|")) return hashMatches(names, wanted);
  const patterns = names.toLowerCase().split(",");
  const isNamed = (pattern: string): boolean => matchesPattern(pattern, wanted);
  if (patterns.some((pattern) => pattern.startsWith("!") && isNamed(pattern.slice(1)))) return false;
  return patterns.some((pattern) => !pattern.startsWith("!") && isNamed(pattern));
}

/** "|1|SALT|HMAC-SHA1 of the name under the salt". */
function hashMatches(text: string, wanted: string): boolean {
  const [, , salt = "", hash = ""] = text.split("|");
  const made = createHmac("sha1", Buffer.from(salt, "base64")).update(wanted).digest();
  const stored = Buffer.from(hash, "base64");
  return stored.length === made.length && timingSafeEqual(stored, made);
}

/** "*" stands for any characters, "?" for one. In time proportional to the product of the lengths. */
function matchesPattern(pattern: string, text: string): boolean {
  let at = 0;
  let index = 0;
  let starAt = -1;
  let starIndex = 0;
  while (index < text.length) {
    if (pattern[at] === "*") {
      starAt = at;
      starIndex = index;
      at += 1;
    } else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === text[index])) {
      at += 1;
      index += 1;
    } else if (starAt >= 0) {
      starIndex += 1;
      index = starIndex;
      at = starAt + 1;
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}
