// Reads the globals of a server (13 to 18) in one transaction, so that they fit one another. Who may not read pg_authid,
// as on managed services, gets everything but the passwords.
// Source: PostgreSQL manual, "System Catalogs"; what is read and in which order is pg_dumpall's choice.

import { quoteLiteral, ServerError } from "../postgres/index.ts";
import type { Session } from "../postgres/index.ts";
import type {
  Acl,
  AclItem,
  Globals,
  GlobalRole,
  GlobalTablespace,
  Membership,
  ParameterPrivileges,
  SecurityLabel,
  Setting,
} from "./globals.ts";
import { neededGlobals, readNeededNames } from "./needed-globals.ts";

export interface ReadGlobalsOptions {
  readonly signal?: AbortSignal | undefined;
  /** False: as pg_dumpall --no-role-passwords. */
  readonly withPasswords: boolean;
  /** An exported snapshot to read in; null: one of its own. */
  readonly snapshotName?: string | null;
  /** Only what the session's database needs: see neededGlobals(). */
  readonly onlyNeeded?: boolean;
}

type Row = Record<string, string | null>;

const PLAIN_NAME = /^[a-z_][a-z0-9_]*$/;
const GRANT_OPTIONS_SINCE = 16;
const PARAMETER_ACLS_SINCE = 15;
const UNDEFINED_FILE = "58P01";
const ATTEMPTS_MAX = 5;

/** Reads the globals. The session must be outside of a transaction, and is so again afterwards. */
export async function readGlobals(session: Session, options: ReadGlobalsOptions): Promise<Globals> {
  const { textEncoding } = session;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await new GlobalsReader(session, options).read();
    } catch (error) {
      // A tablespace went while its place was looked up; a transaction begun anew does not see it. Not so in a snapshot.
      const isGone = error instanceof ServerError && error.sqlState === UNDEFINED_FILE;
      if (!isGone || (options.snapshotName ?? null) !== null || attempt === ATTEMPTS_MAX) throw error;
    } finally {
      if (session.isConnected && session.transactionStatus !== "idle") await session.query("ROLLBACK");
      session.textEncoding = textEncoding;
    }
  }
}

class GlobalsReader {
  readonly #session: Session;
  readonly #options: ReadGlobalsOptions;

  constructor(session: Session, options: ReadGlobalsOptions) {
    this.#session = session;
    this.#options = options;
  }

  async read(): Promise<Globals> {
    const clientEncoding = await this.#begin();
    const { major, number: serverVersionNum } = this.#session.serverVersion;
    const passwords = await this.#passwords();
    const labels = await this.#labels();
    const settings = await this.#settings();
    const needed = this.#options.onlyNeeded === true ? await readNeededNames((sql) => this.#rows(sql)) : null;
    const found = {
      roles: await this.#roles(passwords === "carried", labels, settings),
      memberships: await this.#memberships(major >= GRANT_OPTIONS_SINCE),
      parameters: major >= PARAMETER_ACLS_SINCE ? await this.#parameters() : [],
      tablespaces: await this.#tablespaces(labels, needed?.tablespaces ?? null),
      settingsOfAll: settings.get("0") ?? [],
    };
    const [bootstrap] = await this.#rows("SELECT pg_catalog.pg_get_userbyid(10) AS name");
    const keywords = await this.#rows("SELECT word FROM pg_catalog.pg_get_keywords() WHERE catcode <> 'U'");
    await this.#session.query("COMMIT", { signal: this.#options.signal });
    const globals: Globals = {
      serverVersionNum,
      clientEncoding,
      textEncoding: "latin1",
      passwords,
      bootstrapRole: text(bootstrap?.["name"]),
      reservedNames: reserved(found, new Set(keywords.map(({ word }) => text(word)))),
      ...found,
    };
    return decoded(needed === null ? globals : neededGlobals(globals, needed));
  }

  /**
   * Names come as they are stored, byte for byte: databases of several encodings share them. With an empty search path
   * operators are pg_catalog's.
   */
  async #begin(): Promise<string> {
    const { snapshotName = null, signal } = this.#options;
    const encoding = this.#session.connection.parameters.get("server_encoding") ?? "UTF8";
    const snapshot = snapshotName === null ? "" : `SET TRANSACTION SNAPSHOT '${snapshotName}'; `;
    await this.#session.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${snapshot}` +
        `SET LOCAL client_encoding TO '${encoding}'; SET LOCAL DateStyle TO ISO; SET LOCAL search_path TO ''`,
      { signal },
    );
    this.#session.textEncoding = "latin1";
    return encoding;
  }

  async #rows(sql: string): Promise<readonly Row[]> {
    return (await this.#session.query(sql, { signal: this.#options.signal })).objects<Row>();
  }

  async #passwords(): Promise<Globals["passwords"]> {
    if (!this.#options.withPasswords) return "left out";
    const [row] = await this.#rows(
      "SELECT pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') AS is_readable",
    );
    return row?.["is_readable"] === "t" ? "carried" : "not readable";
  }

  async #labels(): Promise<ReadonlyMap<string, readonly SecurityLabel[]>> {
    const rows = await this.#rows(
      "SELECT c.relname || ' ' || l.objoid AS object, l.provider, l.label FROM pg_catalog.pg_shseclabel l " +
        "JOIN pg_catalog.pg_class c ON c.oid = l.classoid",
    );
    return grouped(
      rows,
      ({ object }) => text(object),
      (row) => {
        return { provider: text(row["provider"]), label: text(row["label"]) };
      },
    );
  }

  /** By the role's oid; 0: all roles. */
  async #settings(): Promise<ReadonlyMap<string, readonly Setting[]>> {
    const rows = await this.#rows(
      "SELECT s.setrole, item.text FROM pg_catalog.pg_db_role_setting s, " +
        "pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS item(text, number) " +
        "WHERE s.setdatabase = 0 ORDER BY s.setrole, item.number",
    );
    return grouped(
      rows,
      ({ setrole }) => text(setrole),
      (row): Setting => {
        const item = text(row["text"]);
        const equals = item.indexOf("=");
        return [item.slice(0, equals), item.slice(equals + 1)];
      },
    );
  }

  async #roles(
    hasPasswords: boolean,
    labels: ReadonlyMap<string, readonly SecurityLabel[]>,
    settings: ReadonlyMap<string, readonly Setting[]>,
  ): Promise<readonly GlobalRole[]> {
    const rows = await this.#rows(
      "SELECT oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, " +
        `rolconnlimit, ${hasPasswords ? "rolpassword" : "NULL AS rolpassword"}, rolvaliduntil, ` +
        "pg_catalog.shobj_description(oid, 'pg_authid') AS comment " +
        `FROM pg_catalog.${hasPasswords ? "pg_authid" : "pg_roles"} ` +
        "WHERE NOT pg_catalog.starts_with(rolname::pg_catalog.text, 'pg_') ORDER BY rolname",
    );
    return rows.map((row) => {
      const oid = text(row["oid"]);
      return {
        name: text(row["rolname"]),
        isSuperuser: row["rolsuper"] === "t",
        inherits: row["rolinherit"] === "t",
        createsRoles: row["rolcreaterole"] === "t",
        createsDatabases: row["rolcreatedb"] === "t",
        canLogIn: row["rolcanlogin"] === "t",
        replicates: row["rolreplication"] === "t",
        bypassesRowSecurity: row["rolbypassrls"] === "t",
        connectionLimit: Number(row["rolconnlimit"]),
        password: row["rolpassword"] ?? null,
        validUntil: row["rolvaliduntil"] ?? null,
        comment: row["comment"] ?? null,
        securityLabels: labels.get(`pg_authid ${oid}`) ?? [],
        settings: settings.get(oid) ?? [],
      };
    });
  }

  async #memberships(hasOptions: boolean): Promise<readonly Membership[]> {
    const rows = await this.#rows(
      "SELECT ur.rolname AS role, um.rolname AS member, ug.rolname AS grantor, a.admin_option, " +
        `${hasOptions ? "a.inherit_option, a.set_option" : "NULL AS inherit_option, NULL AS set_option"} ` +
        "FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles ur ON ur.oid = a.roleid " +
        "JOIN pg_catalog.pg_roles um ON um.oid = a.member " +
        "LEFT JOIN pg_catalog.pg_roles ug ON ug.oid = a.grantor " +
        "WHERE NOT (pg_catalog.starts_with(ur.rolname::pg_catalog.text, 'pg_') " +
        "AND pg_catalog.starts_with(um.rolname::pg_catalog.text, 'pg_')) ORDER BY ur.rolname, um.rolname, ug.rolname",
    );
    const flag = (value: string | null | undefined): boolean | null => (value ? value === "t" : null);
    return rows.map((row) => ({
      role: text(row["role"]),
      member: text(row["member"]),
      grantor: row["grantor"] ?? null,
      hasAdminOption: row["admin_option"] === "t",
      inherits: flag(row["inherit_option"]),
      mayBeSet: flag(row["set_option"]),
    }));
  }

  async #parameters(): Promise<readonly ParameterPrivileges[]> {
    const acls = await this.#acls(
      "SELECT parname AS key, paracl AS acl, pg_catalog.acldefault('p', 10) AS defaults FROM pg_catalog.pg_parameter_acl",
    );
    const rows = await this.#rows("SELECT parname FROM pg_catalog.pg_parameter_acl ORDER BY parname");
    return rows.map(({ parname }) => ({
      name: text(parname),
      acl: acls.get(text(parname)) ?? { items: [], defaults: [] },
    }));
  }

  /** With `needed`, only these: the place of one that is being dropped by somebody cannot be read. */
  async #tablespaces(
    labels: ReadonlyMap<string, readonly SecurityLabel[]>,
    needed: ReadonlySet<string> | null,
  ): Promise<readonly GlobalTablespace[]> {
    const isWanted = needed === null ? "" : `AND spcname IN (${["''", ...[...needed].map(quoteLiteral)].join(", ")}) `;
    const acls = await this.#acls(
      "SELECT oid::pg_catalog.text AS key, spcacl AS acl, pg_catalog.acldefault('t', spcowner) AS defaults " +
        "FROM pg_catalog.pg_tablespace WHERE spcacl IS NOT NULL",
    );
    const options = await this.#rows(
      "SELECT t.oid, item.text FROM pg_catalog.pg_tablespace t, pg_catalog.unnest(t.spcoptions) WITH ORDINALITY " +
        "AS item(text, number) ORDER BY t.oid, item.number",
    );
    const rows = await this.#rows(
      "SELECT oid, spcname, pg_catalog.pg_get_userbyid(spcowner) AS owner, pg_catalog.pg_tablespace_location(oid) " +
        "AS location, spcacl IS NULL AS has_no_acl, pg_catalog.shobj_description(oid, 'pg_tablespace') AS comment " +
        "FROM pg_catalog.pg_tablespace WHERE NOT pg_catalog.starts_with(spcname::pg_catalog.text, 'pg_') " +
        `${isWanted}ORDER BY oid`,
    );
    return rows.map((row) => {
      const oid = text(row["oid"]);
      const location = text(row["location"]);
      return {
        name: text(row["spcname"]),
        owner: text(row["owner"]),
        // One inside of the data folder has a relative place there, and is made anew with an empty one.
        location: location.startsWith("/") || /^[A-Za-z]:/.test(location) ? location : "",
        options: options.filter((option) => option["oid"] === oid).map((option) => text(option["text"])),
        acl: row["has_no_acl"] === "t" ? null : (acls.get(oid) ?? { items: [], defaults: [] }),
        comment: row["comment"] ?? null,
        securityLabels: labels.get(`pg_tablespace ${oid}`) ?? [],
      };
    });
  }

  /** ACLs by key; `query` gives key, acl, defaults. Items stay in the order in which the server keeps them. */
  async #acls(query: string): Promise<ReadonlyMap<string, Acl>> {
    const rows = await this.#rows(
      "SELECT object.key, list.kind, item.number, CASE WHEN one.grantee <> 0 " +
        "THEN pg_catalog.pg_get_userbyid(one.grantee) END AS grantee, " +
        "pg_catalog.pg_get_userbyid(one.grantor) AS grantor, one.privilege_type, one.is_grantable " +
        `FROM (${query}) AS object, LATERAL (VALUES ('items', object.acl), ('defaults', object.defaults)) AS list(kind, acl), ` +
        "pg_catalog.unnest(list.acl) WITH ORDINALITY AS item(acl, number), " +
        "pg_catalog.aclexplode(ARRAY[item.acl]) AS one ORDER BY object.key, list.kind, item.number, one.privilege_type",
    );
    const acls = new Map<string, Acl>();
    for (const [key, own] of Map.groupBy(rows, (row) => text(row["key"]))) {
      const list = (kind: string): AclItem[] => aclItems(own.filter((row) => row["kind"] === kind));
      acls.set(key, { items: list("items"), defaults: list("defaults") });
    }
    return acls;
  }
}

function aclItems(rows: readonly Row[]): AclItem[] {
  return [...Map.groupBy(rows, ({ number }) => number).values()].map((own) => ({
    grantee: own[0]?.["grantee"] ?? null,
    grantor: text(own[0]?.["grantor"]),
    privileges: own.map((row) => ({ name: text(row["privilege_type"]), isGrantable: row["is_grantable"] === "t" })),
  }));
}

function text(value: string | null | undefined): string {
  return value ?? "";
}

function grouped<T>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  valueOf: (row: Row) => T,
): ReadonlyMap<string, readonly T[]> {
  return new Map([...Map.groupBy(rows, keyOf)].map(([key, own]) => [key, own.map(valueOf)]));
}

type Named = Pick<Globals, "roles" | "memberships" | "parameters" | "tablespaces" | "settingsOfAll">;

function reserved(globals: Named, keywords: ReadonlySet<string>): string[] {
  const names = [
    ...globals.roles.flatMap(({ name, settings, securityLabels }) => {
      return [name, ...settings.map(([setting]) => setting), ...securityLabels.map(({ provider }) => provider)];
    }),
    ...globals.parameters.map(({ name }) => name),
    ...globals.tablespaces.flatMap(({ name, securityLabels }) => [name, ...securityLabels.map((one) => one.provider)]),
    ...globals.settingsOfAll.map(([setting]) => setting),
    ...globals.memberships.map(({ role }) => role),
  ];
  return [...new Set(names.filter((name) => PLAIN_NAME.test(name) && keywords.has(name)))];
}

/** Bytes as real text where all of them are UTF-8. */
function decoded(globals: Globals): Globals {
  // JSON escapes nothing beyond ASCII: the bytes in it are those that the server sent.
  const bytes = Buffer.from(JSON.stringify(globals), "latin1");
  try {
    const whole = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { ...(JSON.parse(whole) as Globals), textEncoding: "utf8" };
  } catch {
    return globals;
  }
}
