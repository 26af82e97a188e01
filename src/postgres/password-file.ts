// The password file (~/.pgpass). Source: PostgreSQL manual, "The Password File"; libpq's passwordFromFile.
// One line: host:port:database:user:password, "*" matches anything, "\" escapes ":" and "\".

import { open, type FileHandle } from "node:fs/promises";
import { isMissing, messageOf } from "../base/errors.ts";
import { Secret } from "./secret.ts";

const FILE_SIZE_BYTES_MAX = 1024 * 1024;
const GROUP_OR_OTHER = 0o077;

/** What is looked up. */
export interface PasswordQuery {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** The result of a look-up: a password, or a warning why the file was not used, or neither. */
export interface PasswordLookup {
  readonly password: Secret | null;
  readonly warning: string | null;
}

/** Looks up a password; a missing file is no error, an unsafe or unreadable one is ignored with a warning. */
export async function lookUpPassword(file: string, query: PasswordQuery): Promise<PasswordLookup> {
  const none = { password: null, warning: null };
  let handle: FileHandle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if (isMissing(error)) return none;
    return { ...none, warning: `Password file "${file}" could not be read and was ignored: ${messageOf(error)}.` };
  }
  try {
    const status = await handle.stat();
    if (!status.isFile()) return { ...none, warning: `Password file "${file}" is not a plain file and was ignored.` };
    if (process.platform !== "win32" && (status.mode & GROUP_OR_OTHER) !== 0) {
      return {
        ...none,
        warning: `Password file "${file}" has group or world access and was ignored; run chmod 0600 on it.`,
      };
    }
    if (status.size > FILE_SIZE_BYTES_MAX) {
      return {
        ...none,
        warning: `Password file "${file}" is larger than ${FILE_SIZE_BYTES_MAX} bytes and was ignored.`,
      };
    }
    return { ...none, password: findPassword(await handle.readFile("utf8"), query) };
  } finally {
    await handle.close();
  }
}

/** The password of the first line that matches. */
export function findPassword(text: string, query: PasswordQuery): Secret | null {
  const wanted = [query.host, String(query.port), query.database, query.user];
  for (const line of text.split(/\r?\n/)) {
    if (line === "" || line.startsWith("#")) continue;
    const { fields, rest } = splitFields(line, wanted.length);
    if (fields.length < wanted.length) continue;
    if (!fields.every((field, index) => field === "*" || unescape(field) === wanted[index])) continue;
    return rest === "" ? null : new Secret(unescape(rest));
  }
  return null;
}

// The first `count` fields, still escaped, and what follows them.
function splitFields(line: string, count: number): { fields: string[]; rest: string } {
  const fields: string[] = [];
  let rest = line;
  while (fields.length < count) {
    const match = /^((?:[^:\\]|\\.)*):/.exec(rest);
    if (match === null) break;
    fields.push(match[1] as string);
    rest = rest.slice(match[0].length);
  }
  return { fields, rest };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/g, "$1");
}
