// The globals as the text that `pg_dumpall --globals-only` writes, for psql. Byte for byte the stock tool's of the
// server's own major, but for the lines of \restrict. Pure.
// Source: pg_dumpall.c (13 to 18), dumpRoles, dumpRoleMembership, dumpRoleGUCPrivs, dumpTablespaces.

import { quoteIdentifier } from "../postgres/index.ts";
import type { Globals, GlobalRole } from "./globals.ts";
import { orderedMemberships } from "./membership-order.ts";
import {
  membershipStatement,
  parameterStatements,
  roleStatements,
  settingStatement,
  tablespaceStatements,
  type Quote,
} from "./statements.ts";

export interface GlobalsTextOptions {
  /** Key of psql's \restrict, letters and digits; null: no such lines, for psql before August 2025. */
  readonly restrictKey: string | null;
  /** Leaves the last heading off, because databases follow. */
  readonly hasDatabases?: boolean;
}

const PLAIN_NAME = /^[a-z_][a-z0-9_]*$/;
const ONE_HEADING_SINCE = 140_000;
const PARAMETER_ACLS_SINCE = 150_000;

/** What stands at the end of pg_dumpall's text. */
export const CLUSTER_DUMP_END = `${heading("PostgreSQL database cluster dump complete")}\n`;

/** The text, in the encoding that it sets: `Buffer.from(text, globals.textEncoding)` are its bytes. */
export function globalsText(globals: Globals, options: GlobalsTextOptions): string {
  const quote = quoterOf(globals);
  const { serverVersionNum, roles, parameters, tablespaces, bootstrapRole } = globals;
  const key = options.restrictKey;
  const memberships = orderedMemberships(globals).map((membership) => membershipStatement(membership, quote));
  const parts = [
    heading("PostgreSQL database cluster dump"),
    "\n",
    key === null ? "" : `\\restrict ${key}\n\n`,
    "SET default_transaction_read_only = off;\n\n",
    `SET client_encoding = '${globals.clientEncoding}';\nSET standard_conforming_strings = on;\n\n`,
    section(
      "Roles",
      roles.flatMap((role) => roleStatements(role, quote)),
    ),
    roleSettings(globals, quote),
    "\n\n",
    section("Role memberships", memberships),
    "\n\n",
    ...(serverVersionNum < PARAMETER_ACLS_SINCE ? [] : [parameterText(parameters, bootstrapRole, quote), "\n\n"]),
    section(
      "Tablespaces",
      tablespaces.flatMap((tablespace) => tablespaceStatements(tablespace, quote)),
    ),
    "\n\n",
    settingsOfAll(globals, quote),
    key === null ? "" : `\\unrestrict ${key}\n\n`,
    options.hasDatabases === true ? "" : CLUSTER_DUMP_END,
  ];
  return parts.join("");
}

function parameterText(parameters: Globals["parameters"], owner: string, quote: Quote): string {
  if (parameters.length === 0) return "";
  const statements = parameters.flatMap((parameter) => parameterStatements(parameter, owner, quote));
  return `${heading("Role privileges on configuration parameters")}\n${lines(statements)}`;
}

function roleSettings({ roles, serverVersionNum }: Globals, quote: Quote): string {
  const configured = roles.filter(({ settings }) => settings.length > 0);
  // pg_dumpall 13 repeats its headings, for each role and each setting.
  if (serverVersionNum < ONE_HEADING_SINCE) {
    return configured.map((role) => `${heading("User Configurations")}\n${lonelySettings(role, quote)}`).join("");
  }
  if (roles.length === 0) return "";
  const texts = configured.map(
    (role) => `\n${section(`User Config "${onOneLine(role.name)}"`, settingsOf(role, quote))}`,
  );
  return `\n${heading("User Configurations")}${texts.join("")}`;
}

function lonelySettings(role: GlobalRole, quote: Quote): string {
  const title = `User Config "${onOneLine(role.name)}"`;
  return settingsOf(role, quote)
    .map((statement) => section(title, [statement]))
    .join("");
}

function settingsOf(role: GlobalRole, quote: Quote): string[] {
  return role.settings.map((setting) => settingStatement(`ROLE ${quote(role.name)}`, setting, quote));
}

/** What pg_dumpall forgets. */
function settingsOfAll({ settingsOfAll: settings }: Globals, quote: Quote): string {
  if (settings.length === 0) return "";
  const statements = settings.map((setting) => settingStatement("ROLE ALL", setting, quote));
  return `${section("Settings of all roles", statements)}\n\n`;
}

function section(title: string, statements: readonly string[]): string {
  return statements.length === 0 ? "" : `${heading(title)}\n${lines(statements)}`;
}

function heading(title: string): string {
  return `--\n-- ${title}\n--\n`;
}

function lines(statements: readonly string[]): string {
  return statements.map((statement) => `${statement};\n`).join("");
}

/** A name in a comment must not end it. */
function onOneLine(name: string): string {
  return name.replaceAll(/[\r\n]/g, " ");
}

/** Quotes where the source's server would. */
function quoterOf({ reservedNames }: Globals): Quote {
  const reserved = new Set(reservedNames);
  return (name) => (PLAIN_NAME.test(name) && !reserved.has(name) ? name : quoteIdentifier(name));
}
