// Finds a WebDAV server's credentials: the environment's CAIRN_WEBDAV_TOKEN, or CAIRN_WEBDAV_USERNAME and _PASSWORD, else
// the file that NETRC names, else ~/.netrc.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, messageOf, OperatingError } from "../../base/errors.ts";
import type { Credentials } from "./authorization.ts";
import { loginOf } from "./netrc.ts";

const NETRC_BYTES_MAX = 1024 * 1024;

/** See the head of this file. Throws OperatingError "usage". */
export async function findCredentials(
  environment: Readonly<Record<string, string | undefined>>,
  host: string,
): Promise<Credentials> {
  const token = environment["CAIRN_WEBDAV_TOKEN"] ?? "";
  const user = environment["CAIRN_WEBDAV_USERNAME"] ?? "";
  const password = environment["CAIRN_WEBDAV_PASSWORD"] ?? "";
  if (/[^\x21-\x7e]/.test(token)) throw wrong("CAIRN_WEBDAV_TOKEN holds characters that no token has");
  if (token !== "") return { token };
  if (/[\p{Cc}:]/u.test(user)) throw wrong('CAIRN_WEBDAV_USERNAME holds ":" or a control character');
  if (/\p{Cc}/u.test(password)) throw wrong("CAIRN_WEBDAV_PASSWORD holds a control character");
  if (user !== "") return { user, password };
  if (password !== "") throw wrong("CAIRN_WEBDAV_PASSWORD is set, and CAIRN_WEBDAV_USERNAME is not");
  return loginOf(await netrcText(environment), host.toLowerCase());
}

async function netrcText(environment: Readonly<Record<string, string | undefined>>): Promise<string> {
  const named = environment["NETRC"] ?? "";
  const home = environment["HOME"] ?? "";
  if (named === "" && home === "") return "";
  try {
    const bytes = await readFile(named === "" ? join(home, ".netrc") : named);
    if (bytes.length <= NETRC_BYTES_MAX) return bytes.toString("utf8");
  } catch (error) {
    if (named === "" && isMissing(error)) return "";
    throw wrong(`${named === "" ? "~/.netrc" : "the file that NETRC names"} cannot be read: ${messageOf(error)}`);
  }
  throw wrong("the .netrc file is larger than 1 MiB");
}

function wrong(reason: string): OperatingError {
  return new OperatingError("usage", `the credentials for WebDAV cannot be used: ${reason}`);
}
