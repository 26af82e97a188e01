// What belongs to a whole server and to none of its databases: roles, memberships, tablespaces, settings of roles,
// privileges on parameters. As data, so that it can be compared with what a target has; globals-text.ts makes it SQL.
// Settings, owner and privileges of a database are not here: pg_dump writes them into the database's own archive.

import type { TextEncoding } from "../postgres/index.ts";

/** The globals of a server, all of one snapshot. Passwords are secret: hashes, but good enough to attack or to log in with. */
export interface Globals {
  readonly serverVersionNum: number;
  /** PostgreSQL's name of the encoding in which names and texts were read. */
  readonly clientEncoding: string;
  /** latin1: each byte is one character, because the bytes are no UTF-8. */
  readonly textEncoding: TextEncoding;
  /** Whether roles have their passwords here, and if not, why. */
  readonly passwords: "carried" | "left out" | "not readable";
  /** The role that initdb made; every server has it, under whatever name. */
  readonly bootstrapRole: string;
  /** Names in here that look plain and still need quotes, because they are keywords of the server. */
  readonly reservedNames: readonly string[];
  readonly roles: readonly GlobalRole[];
  readonly memberships: readonly Membership[];
  /** Privileges on parameters; PostgreSQL 15 and later. */
  readonly parameters: readonly ParameterPrivileges[];
  readonly tablespaces: readonly GlobalTablespace[];
  /** ALTER ROLE ALL SET …, which pg_dumpall leaves out. */
  readonly settingsOfAll: readonly Setting[];
}

/** A setting's name and value as pg_db_role_setting has them. */
export type Setting = readonly [name: string, value: string];

export interface GlobalRole {
  readonly name: string;
  readonly isSuperuser: boolean;
  readonly inherits: boolean;
  readonly createsRoles: boolean;
  readonly createsDatabases: boolean;
  readonly canLogIn: boolean;
  readonly replicates: boolean;
  readonly bypassesRowSecurity: boolean;
  /** -1: none. */
  readonly connectionLimit: number;
  /** Hash; null: none, or not carried (Globals.passwords). Secret. */
  readonly password: string | null;
  /** ISO 8601 as PostgreSQL writes it, or `infinity`. */
  readonly validUntil: string | null;
  readonly comment: string | null;
  readonly securityLabels: readonly SecurityLabel[];
  readonly settings: readonly Setting[];
}

export interface SecurityLabel {
  readonly provider: string;
  readonly label: string;
}

/** `member` is a member of `role`. */
export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string | null;
  readonly hasAdminOption: boolean;
  /** Null before PostgreSQL 16. */
  readonly inherits: boolean | null;
  /** May SET ROLE; null before PostgreSQL 16. */
  readonly mayBeSet: boolean | null;
}

/** What one grantor gave one grantee. */
export interface AclItem {
  /** Null: PUBLIC. */
  readonly grantee: string | null;
  readonly grantor: string;
  readonly privileges: readonly { readonly name: string; readonly isGrantable: boolean }[];
}

/** An ACL and the one that an object of the kind begins with; null: it was never touched. */
export interface Acl {
  readonly items: readonly AclItem[];
  readonly defaults: readonly AclItem[];
}

export interface ParameterPrivileges {
  readonly name: string;
  readonly acl: Acl;
}

export interface GlobalTablespace {
  readonly name: string;
  readonly owner: string;
  /** Empty for one inside of the data folder (allow_in_place_tablespaces). */
  readonly location: string;
  /** `name=value`. */
  readonly options: readonly string[];
  readonly acl: Acl | null;
  readonly comment: string | null;
  readonly securityLabels: readonly SecurityLabel[];
}
