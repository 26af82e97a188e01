// One global as SQL statements, without the line end. How names are quoted is the caller's choice: as pg_dumpall does it
// in a text, always in a restore. Source: dumputils.c, buildACLCommands, makeAlterConfigCommand, SplitGUCList.

import { quoteLiteral } from "../postgres/index.ts";
import type {
  Acl,
  AclItem,
  GlobalRole,
  GlobalTablespace,
  Membership,
  ParameterPrivileges,
  SecurityLabel,
  Setting,
} from "./globals.ts";

export type Quote = (name: string) => string;

/** Settings whose value is a list of names, each quoted by rules of its own. */
const LIST_SETTINGS = new Set([
  "local_preload_libraries",
  "search_path",
  "session_preload_libraries",
  "shared_preload_libraries",
  "temp_tablespaces",
  "unix_socket_directories",
]);

/** Every privilege that an object of the kind has, in the server's order. */
const PRIVILEGES = { TABLESPACE: ["CREATE"], PARAMETER: ["SET", "ALTER SYSTEM"] } as const;

/** All of a role but its settings and memberships. */
export function roleStatements(role: GlobalRole, quote: Quote): string[] {
  return [`CREATE ROLE ${quote(role.name)}`, alterRole(role, quote), ...noteStatements("ROLE", role, quote)];
}

function alterRole(role: GlobalRole, quote: Quote): string {
  const flag = (isSet: boolean, word: string): string => (isSet ? word : `NO${word}`);
  return [
    `ALTER ROLE ${quote(role.name)} WITH`,
    flag(role.isSuperuser, "SUPERUSER"),
    flag(role.inherits, "INHERIT"),
    flag(role.createsRoles, "CREATEROLE"),
    flag(role.createsDatabases, "CREATEDB"),
    flag(role.canLogIn, "LOGIN"),
    flag(role.replicates, "REPLICATION"),
    flag(role.bypassesRowSecurity, "BYPASSRLS"),
    ...(role.connectionLimit === -1 ? [] : [`CONNECTION LIMIT ${role.connectionLimit}`]),
    ...(role.password === null ? [] : [`PASSWORD ${quoteLiteral(role.password)}`]),
    ...(role.validUntil === null ? [] : [`VALID UNTIL ${quoteLiteral(role.validUntil)}`]),
  ].join(" ");
}

/** A tablespace with its options and privileges. */
export function tablespaceStatements(tablespace: GlobalTablespace, quote: Quote): string[] {
  const { name, owner, location, options, acl } = tablespace;
  return [
    `CREATE TABLESPACE ${quote(name)} OWNER ${quote(owner)} LOCATION ${quoteLiteral(location)}`,
    ...(options.length === 0 ? [] : [`ALTER TABLESPACE ${quote(name)} SET (${options.join(", ")})`]),
    ...(acl === null ? [] : aclStatements({ kind: "TABLESPACE", name, owner, acl }, quote)),
    ...noteStatements("TABLESPACE", tablespace, quote),
  ];
}

/** The privileges on a parameter; `owner` is the bootstrap role. */
export function parameterStatements({ name, acl }: ParameterPrivileges, owner: string, quote: Quote): string[] {
  return aclStatements({ kind: "PARAMETER", name, owner, acl }, quote);
}

/** `subject`: `ROLE "name"` or `ROLE ALL`. */
export function settingStatement(subject: string, [name, value]: Setting, quote: Quote): string {
  const items = LIST_SETTINGS.has(name) ? splitList(value) : null;
  const values = items === null ? quoteLiteral(value) : items.map(quoteLiteral).join(", ");
  return `ALTER ${subject} SET ${quote(name)} TO ${values}`;
}

/** A GRANT of a role; without a grantor, who runs it is. */
export function membershipStatement(membership: Membership, quote: Quote): string {
  const { role, member, grantor, hasAdminOption, inherits, mayBeSet } = membership;
  const options = [
    ...(hasAdminOption ? ["ADMIN OPTION"] : []),
    ...(inherits === null ? [] : [`INHERIT ${inherits ? "TRUE" : "FALSE"}`]),
    ...(mayBeSet === false ? ["SET FALSE"] : []),
  ];
  const withOptions = options.length === 0 ? "" : ` WITH ${options.join(", ")}`;
  const by = grantor !== null ? ` GRANTED BY ${quote(grantor)}` : "";
  return `GRANT ${quote(role)} TO ${quote(member)}${withOptions}${by}`;
}

interface Noted {
  readonly name: string;
  readonly comment: string | null;
  readonly securityLabels: readonly SecurityLabel[];
}

/** Comment and security labels. */
export function noteStatements(
  kind: "ROLE" | "TABLESPACE",
  { name, comment, securityLabels }: Noted,
  quote: Quote,
): string[] {
  return [
    ...(comment === null ? [] : [`COMMENT ON ${kind} ${quote(name)} IS ${quoteLiteral(comment)}`]),
    ...securityLabels.map(({ provider, label }) => {
      return `SECURITY LABEL FOR ${quote(provider)} ON ${kind} ${quote(name)} IS ${quoteLiteral(label)}`;
    }),
  ];
}

interface AclObject {
  readonly kind: keyof typeof PRIVILEGES;
  readonly name: string;
  readonly owner: string;
  readonly acl: Acl;
}

/** From the ACL that a new object has to this one: what is taken away, the owner's own grants, then the others' in order. */
function aclStatements({ kind, name, owner, acl }: AclObject, quote: Quote): string[] {
  const on = `ON ${kind} ${quote(name)}`;
  const to = (grantee: string | null): string => (grantee === null ? "PUBLIC" : quote(grantee));
  const missing = (items: readonly AclItem[], others: readonly AclItem[]): AclItem[] => {
    const known = new Set(others.map((item) => JSON.stringify(item)));
    return items.filter((item) => !known.has(JSON.stringify(item)));
  };
  const first = missing(acl.defaults, acl.items).map((item) => {
    return `REVOKE ${namesOf(
      kind,
      item.privileges.map((one) => one.name),
    ).join(",")} ${on} FROM ${to(item.grantee)}`;
  });
  const second: string[] = [];
  for (const item of missing(acl.items, acl.defaults)) {
    const grants = [false, true].flatMap((isGrantable) => {
      const wanted = item.privileges.filter((one) => one.isGrantable === isGrantable).map((one) => one.name);
      if (wanted.length === 0) return [];
      const names = namesOf(kind, wanted).join(",");
      return [`GRANT ${names} ${on} TO ${to(item.grantee)}${isGrantable ? " WITH GRANT OPTION" : ""}`];
    });
    if (item.grantor === owner) (item.grantee === owner ? first : second).push(...grants);
    else second.push(`SET SESSION AUTHORIZATION ${quote(item.grantor)}`, ...grants, "RESET SESSION AUTHORIZATION");
  }
  return [...first, ...second];
}

function namesOf(kind: keyof typeof PRIVILEGES, names: readonly string[]): readonly string[] {
  const all: readonly string[] = PRIVILEGES[kind];
  return names.length === all.length ? ["ALL"] : all.filter((name) => names.includes(name));
}

/** The names of a list setting; null when it is no such list. */
function splitList(value: string): string[] | null {
  const items: string[] = [];
  let rest = value.trimStart();
  if (rest === "") return [""];
  for (;;) {
    const match = /^(?:"((?:[^"]|"")*)"|([^\s,"][^\s,]*))\s*(,\s*|$)/.exec(rest);
    if (match === null) return null;
    const [whole, quoted, plain, end] = match;
    items.push(quoted?.replaceAll('""', '"') ?? (plain as string));
    if (end === "") return items;
    rest = rest.slice(whole.length);
  }
}
