// Globals out of a manifest. Without encryption anybody may have written it, and what is in there becomes SQL: every field
// is looked at, and what is no name or text that will be quoted has a form of its own.

import type { Globals } from "./globals.ts";

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string" && !value.includes("\0");
const isFlag: Check = (value) => typeof value === "boolean";
const isInteger: Check = (value) => Number.isSafeInteger(value);
/**
 * Encodings that servers know, and no server has for its own. In those of clients (SJIS, BIG5, GB18030 and the like) a
 * backslash or quote may be half a character, and with it what was quoted would end elsewhere. Source: PostgreSQL manual,
 * "Supported Character Sets".
 */
const SERVER_ENCODING =
  /^(?:SQL_ASCII|UTF8|EUC_(?:JP|CN|KR|TW|JIS_2004)|LATIN(?:10|[1-9])|WIN(?:866|874|125[0-8])|KOI8[RU]|ISO_8859_[5-8]|MULE_INTERNAL)$/;
const isEncodingName: Check = (value) => typeof value === "string" && SERVER_ENCODING.test(value);
const isTablespaceOption: Check = (value) => typeof value === "string" && /^[a-z_]{1,64}=[\w.+-]{1,64}$/.test(value);

function oneOf(...values: readonly unknown[]): Check {
  return (value) => values.includes(value);
}

function orNull(check: Check): Check {
  return (value) => value === null || check(value);
}

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every((item) => check(item));
}

function record(fields: Readonly<Record<string, Check>>): Check {
  return (value) => {
    if (typeof value !== "object" || value === null) return false;
    return Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));
  };
}

const isSetting: Check = (value) => Array.isArray(value) && value.length === 2 && value.every((item) => isText(item));
const isLabel = record({ provider: isText, label: isText });
const isAclItems = listOf(
  record({
    grantee: orNull(isText),
    grantor: isText,
    privileges: listOf(record({ name: oneOf("CREATE", "SET", "ALTER SYSTEM"), isGrantable: isFlag })),
  }),
);
const isAcl = record({ items: isAclItems, defaults: isAclItems });

const isGlobals = record({
  serverVersionNum: isInteger,
  clientEncoding: isEncodingName,
  textEncoding: oneOf("utf8", "latin1"),
  passwords: oneOf("carried", "left out", "not readable"),
  bootstrapRole: isText,
  reservedNames: listOf(isText),
  roles: listOf(
    record({
      name: isText,
      isSuperuser: isFlag,
      inherits: isFlag,
      createsRoles: isFlag,
      createsDatabases: isFlag,
      canLogIn: isFlag,
      replicates: isFlag,
      bypassesRowSecurity: isFlag,
      connectionLimit: isInteger,
      password: orNull(isText),
      validUntil: orNull(isText),
      comment: orNull(isText),
      securityLabels: listOf(isLabel),
      settings: listOf(isSetting),
    }),
  ),
  memberships: listOf(
    record({
      role: isText,
      member: isText,
      grantor: orNull(isText),
      hasAdminOption: isFlag,
      inherits: orNull(isFlag),
      mayBeSet: orNull(isFlag),
    }),
  ),
  parameters: listOf(record({ name: isText, acl: isAcl })),
  tablespaces: listOf(
    record({
      name: isText,
      owner: isText,
      location: isText,
      options: listOf(isTablespaceOption),
      acl: orNull(isAcl),
      comment: orNull(isText),
      securityLabels: listOf(isLabel),
    }),
  ),
  settingsOfAll: listOf(isSetting),
});

/** The globals that JSON holds; null when they are none. */
export function parseGlobals(json: unknown): Globals | null {
  return isGlobals(json) ? (json as Globals) : null;
}
