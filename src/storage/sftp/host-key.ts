// Whether the host is the one that it was: its key against known_hosts files. An unknown host is
// refused with the line to add, never asked about: nobody sits in front of most backups.

import { readFile } from "node:fs/promises";
import { isMissing, messageOf, OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { fingerprintOf, findKnownHost, judgeHostKey, keyTypeOf, knownHostLine, knownHostName } from "./known-hosts.ts";
import type { KnownHost } from "./known-hosts.ts";
import { addressOf } from "./sftp-location.ts";
import type { SftpLocation } from "./sftp-location.ts";

const FILE_LENGTH_MAX = 16 * MIB;

/** What can be offered to a server: the types of keys that we take, best first. */
const ALGORITHMS_OF_TYPE = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
} as const;
export type HostKeyAlgorithm = (typeof ALGORITHMS_OF_TYPE)[keyof typeof ALGORITHMS_OF_TYPE][number];

/** Reads the files of known hosts; those that are missing count as empty. Throws OperatingError "usage". */
export async function readKnownHost({ host, knownHostsFiles, port }: SftpLocation): Promise<KnownHost> {
  const texts: string[] = [];
  for (const path of knownHostsFiles) {
    try {
      const text = await readFile(path, "utf8");
      if (text.length > FILE_LENGTH_MAX) throw new Error(`it is longer than ${FILE_LENGTH_MAX} bytes`);
      texts.push(text);
    } catch (error) {
      if (isMissing(error)) continue;
      throw new OperatingError("usage", `could not read the known hosts in "${path}": ${messageOf(error)}`);
    }
  }
  return findKnownHost(texts, host, port);
}

/** Algorithms to offer: those of known keys first, so that the server shows a key that is known. */
export function hostKeyAlgorithms({ keys, keysOfUsualPort }: KnownHost): HostKeyAlgorithm[] {
  const known = new Set([...keys, ...keysOfUsualPort].map(keyTypeOf));
  const types = Object.keys(ALGORITHMS_OF_TYPE) as (keyof typeof ALGORITHMS_OF_TYPE)[];
  const sorted = [...types.filter((type) => known.has(type)), ...types.filter((type) => !known.has(type))];
  return sorted.flatMap((type) => [...ALGORITHMS_OF_TYPE[type]]);
}

/** Null when the host may be trusted, else why not. */
export function refusalOfHostKey(location: SftpLocation, known: KnownHost, key: Buffer): OperatingError | null {
  const where = addressOf(location.host, location.port);
  const fingerprint = fingerprintOf(key);
  const shown = `It shows the ${keyTypeOf(key)} key with the fingerprint ${fingerprint}.`;
  const verdict = judgeHostKey(known, key);
  if (verdict === "known") return null;
  if (verdict === "revoked") {
    return refusal(`the host key of ${where} is revoked`, {
      detail: `${shown} A line with @revoked names it.`,
      hint: "Nothing was sent. Ask who runs the server for a new key.",
    });
  }
  const name = knownHostName(location.host, location.port);
  if (verdict === "changed") {
    const expected = known.keys.map((one) => `${keyTypeOf(one)} ${fingerprintOf(one)}`).join(", ");
    return refusal(`THE HOST KEY OF ${where} HAS CHANGED`, {
      detail: `${shown} Known is: ${expected}.`,
      hint:
        "Somebody may stand between this machine and the server, or it was set up anew. Nothing was sent. Ask who runs the server; " +
        `if the new key is right, remove the old one: ssh-keygen -R '${name}' -f '${location.knownHostsFile}'`,
    });
  }
  const authority = known.hasAuthority ? " Host certificates (@cert-authority) are not looked at." : "";
  return refusal(`the host ${where} is not known`, {
    detail: `${shown}${authority}`,
    hint: `If that is its fingerprint, add this line to ${location.knownHostsFile}: ${knownHostLine(location.host, location.port, key)}`,
  });
}

function refusal(message: string, options: { readonly detail: string; readonly hint: string }): OperatingError {
  return new OperatingError("connection_failed", message, options);
}
