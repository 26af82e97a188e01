// Versions of servers and tools as they write them: "18.6 (Debian 18.6-3)", "17beta2", server_version_num 150020.
// Since version 10 there are two parts; older ones ("9.6.24") have a major of 9 and are only told apart from supported.

import { OperatingError } from "../base/errors.ts";

/** A version; `number` as in server_version_num, e.g. 180006. */
export interface ServerVersion {
  readonly major: number;
  readonly minor: number;
  readonly number: number;
}

/** Reads server_version_num. */
export function parseVersionNumber(text: string | number): ServerVersion {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 60_000 || value > 99_999_999) throw unknownVersion(String(text));
  return { major: Math.floor(value / 10_000), minor: value % 10_000, number: value };
}

/** Reads the text form, the first version in it: `18.6 (Debian 18.6-3)`, `pg_dump (PostgreSQL) 17.5`, `19devel`. */
export function parseVersionText(text: string): ServerVersion {
  const match =
    /(?<![\d.])(\d{1,3})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:devel|beta\d+|alpha\d+|rc\d+|~\w+)?(?![\d.])/.exec(text);
  if (match === null) throw unknownVersion(text);
  const [major, second, third] = [match[1], match[2], match[3]].map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
  ];
  if (major >= 10) return { major, minor: second, number: major * 10_000 + second };
  return { major, minor: second, number: major * 10_000 + second * 100 + third };
}

/** Reads the parameter server_version of a session. */
export function parseServerVersion(text: string): ServerVersion {
  return parseVersionText(text);
}

/** The short text form, e.g. "18.6". */
export function formatVersion(version: ServerVersion): string {
  return `${version.major}.${version.minor}`;
}

function unknownVersion(text: string): OperatingError {
  return new OperatingError("server_version_unsupported", `"${text.slice(0, 100)}" is no PostgreSQL version`);
}
