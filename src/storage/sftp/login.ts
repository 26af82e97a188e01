// How to log in: which keys and secrets there are, in the order in which they are tried: agent, key files, password.
// With "identity=" in the URI one key and no other: a server refuses who tries too many. Files are read anew for each login.

import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AnyAuthMethod, ParsedKey, PublicKeyAuthMethod } from "ssh2";
import ssh2 from "ssh2";
import { isMissing, messageOf, OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import { PickedKeyAgent } from "./picked-key-agent.ts";
import type { SftpLocation } from "./sftp-location.ts";

/** Environment variables with secrets, which no URI may hold. */
const PASSWORD_VARIABLE = "CAIRN_SFTP_PASSWORD";
const PASSPHRASE_VARIABLE = "CAIRN_SFTP_KEY_PASSPHRASE";
/** The names that ssh looks for, but for keys in hardware and DSA. */
const USUAL_FILES = ["id_ed25519", "id_ecdsa", "id_rsa"];
const KEY_FILE_BYTES_MAX = 64 * KIB;
/** An OpenSSH certificate, as ssh-keygen -s writes it. */
const CERTIFICATE = /^\S+-cert-v\d\d@openssh\.com /;
const NO_CERTIFICATES = "OpenSSH certificates of users are not supported";

/** What to try, and what was left out and why. */
export interface Login {
  readonly methods: readonly AnyAuthMethod[];
  readonly leftOut: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Looks for keys and secrets; a host on the way gets no password. Throws OperatingError "usage" for an identity file that
 * cannot be used.
 */
export async function findLogin(location: SftpLocation, environment: Environment, isJump: boolean): Promise<Login> {
  const { identityFile, keysFolder, user: username } = location;
  const leftOut: string[] = [];
  const methods: AnyAuthMethod[] = [];
  const socketPath = environment["SSH_AUTH_SOCK"] ?? "";
  if (identityFile !== null) {
    methods.push(await identityMethod(location, environment));
    leftOut.push(...(await certificateOf(identityFile)));
  } else {
    if (socketPath === "") leftOut.push("no agent (SSH_AUTH_SOCK is not set)");
    else methods.push({ type: "agent", username, agent: ssh2.createAgent(socketPath) });
    for (const name of USUAL_FILES) {
      const found = await readKey(join(keysFolder, name), environment);
      if (found.key !== null) methods.push({ type: "publickey", username, key: found.key });
      else if (found.problem !== null) leftOut.push(`${name} (${found.problem})`);
      leftOut.push(...(await certificateOf(join(keysFolder, name))));
    }
  }
  const password = environment[PASSWORD_VARIABLE] ?? "";
  if (isJump) leftOut.push("no password (hosts on the way get none)");
  else if (password === "") leftOut.push(`no password (${PASSWORD_VARIABLE} is not set)`);
  else methods.push({ type: "password", username, password }, askedForPassword(username, password));
  return { methods, leftOut };
}

/** What to say of the certificate beside a key file, which OpenSSH would use. */
async function certificateOf(keyPath: string): Promise<string[]> {
  const path = `${keyPath}-cert.pub`;
  return typeof (await readSmallFile(path)) === "string" ? [`${basename(path)} (${NO_CERTIFICATES})`] : [];
}

/** The key that "identity=" names: from its file; where that is closed by a passphrase or has the public half only, from the agent. */
async function identityMethod(location: SftpLocation, environment: Environment): Promise<AnyAuthMethod> {
  const { user: username } = location;
  const path = location.identityFile ?? "";
  const found = await readKey(path, environment);
  if (found.key !== null) return { type: "publickey", username, key: found.key };
  const socketPath = environment["SSH_AUTH_SOCK"] ?? "";
  const publicKey = found.publicKey ?? (await readPublicKey(`${path}.pub`));
  if (socketPath !== "" && publicKey !== null) {
    return { type: "agent", username, agent: new PickedKeyAgent(ssh2.createAgent(socketPath), publicKey) };
  }
  throw new OperatingError("usage", `the identity file "${path}" cannot be used: ${found.problem ?? "there is none"}`, {
    hint: found.problem?.endsWith(NO_CERTIFICATES)
      ? "Let the server have the public key itself (authorized_keys), and name its private key here."
      : `Give its passphrase in ${PASSPHRASE_VARIABLE}, or load the key into an agent (ssh-add) and keep its .pub file beside it.`,
  });
}

/** The same password for servers that ask for it in a dialogue; all other questions get no answer. */
function askedForPassword(username: string, password: string): AnyAuthMethod {
  return {
    type: "keyboard-interactive",
    username,
    // oxlint-disable-next-line max-params -- the library's
    prompt: (_name, _instructions, _language, prompts, finish) => {
      const isPassword = prompts.length === 1 && prompts[0]?.echo !== true;
      finish(prompts.map(() => (isPassword ? password : "")));
    },
  };
}

interface FoundKey {
  readonly key: PublicKeyAuthMethod["key"] | null;
  /** The public half, where the file holds only that. */
  readonly publicKey: Buffer | null;
  /** Null: there is no such file. */
  readonly problem: string | null;
}

async function readKey(path: string, environment: Environment): Promise<FoundKey> {
  const nothing = { key: null, publicKey: null };
  const text = await readSmallFile(path);
  if (typeof text !== "string") return { ...nothing, problem: text.problem };
  if (CERTIFICATE.test(text)) return { ...nothing, problem: `it is a certificate, and ${NO_CERTIFICATES}` };
  const passphrase = environment[PASSPHRASE_VARIABLE] ?? "";
  const parsed = parseKey(text, "");
  if (!(parsed instanceof Error)) {
    return parsed.isPrivateKey()
      ? { ...nothing, key: parsed, problem: null }
      : { key: null, publicKey: parsed.getPublicSSH(), problem: "it holds the public half only" };
  }
  if (!/encrypted/i.test(parsed.message))
    return { ...nothing, problem: "it is no private key of a kind that is known" };
  if (passphrase === "") return { ...nothing, problem: `it has a passphrase; ${PASSPHRASE_VARIABLE} is not set` };
  const opened = parseKey(text, passphrase);
  if (opened instanceof Error) return { ...nothing, problem: `${PASSPHRASE_VARIABLE} does not open it` };
  return { ...nothing, key: opened, problem: null };
}

async function readPublicKey(path: string): Promise<Buffer | null> {
  const text = await readSmallFile(path);
  const parsed = typeof text === "string" ? parseKey(text, "") : null;
  return parsed === null || parsed instanceof Error ? null : parsed.getPublicSSH();
}

async function readSmallFile(path: string): Promise<string | { readonly problem: string | null }> {
  try {
    const text = await readFile(path, "utf8");
    return text.length <= KEY_FILE_BYTES_MAX ? text : { problem: "it is too long for a key" };
  } catch (error) {
    return { problem: isMissing(error) ? null : messageOf(error).replace(/, open .*$/, "") };
  }
}

/** The parser's errors may quote what they read: only whether the key is closed is taken from them. */
function parseKey(text: string, passphrase: string): ParsedKey | Error {
  try {
    const parsed = passphrase === "" ? ssh2.utils.parseKey(text) : ssh2.utils.parseKey(text, passphrase);
    return (Array.isArray(parsed) ? (parsed as (ParsedKey | Error)[])[0] : parsed) ?? new Error("no key");
  } catch {
    return new Error("no key");
  }
}

/** What was tried, for the message when none was taken. */
export function nameOfMethod(method: AnyAuthMethod, location: SftpLocation): string {
  if (method.type === "agent") return location.identityFile === null ? "the agent's keys" : "the key in the agent";
  if (method.type !== "publickey") return method.type;
  const { key } = method;
  const type = typeof key === "object" && "type" in key ? key.type : "";
  return location.identityFile === null ? `the ${type} key file` : `"${basename(location.identityFile)}"`;
}
