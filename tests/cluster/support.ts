// Globals for tests: roles with every attribute and every odd name, memberships with grantors and options, settings,
// privileges on parameters, tablespaces. And the text of the stock pg_dumpall, without what is random in it.

import { dirname, join } from "node:path";

import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { readGlobals, type Globals } from "../../src/globals/index.ts";
import type { ClusterBackupSettings } from "../../src/operations/backup-cluster/index.ts";
import type { TestRepository } from "../matrix/support.ts";
import { quoteIdentifier, quoteLiteral, runAsServerUser, runTool, type TestServer } from "../support/servers.ts";

/** Names that must come through quoting, comments and lists unharmed. */
export const ODD_ROLES = {
  plain: "cluster_plain",
  quoted: `cluster "Quoted" 'Role' \\ back`,
  lined: "cluster\nnew line\r\\! false",
  emoji: "cluster 🙂",
  accent: "cluster Ünï",
  keyword: "select",
  dollar: "$cluster",
  soft: "between",
} as const;

export const ODD_TABLESPACES = { plain: "cluster_space", odd: 'cluster "Space"\n🙂', keyword: "all" } as const;

const [plain, quoted, lined, emoji, accent, keyword, dollar, soft] = Object.values(ODD_ROLES).map(quoteIdentifier);
const [plainSpace, oddSpace, keywordSpace] = Object.values(ODD_TABLESPACES).map(quoteIdentifier);

/** SQL for psql that makes the roles; tablespaces go to folders that makeFolders() made. */
export function globalsScript(major: number, folders: readonly string[], { hasLabel = true } = {}): string {
  const locations = folders.map(quoteLiteral);
  return `
    SET allow_system_table_mods = on;
    CREATE ROLE ${plain} CONNECTION LIMIT 3;
    CREATE ROLE ${quoted} LOGIN PASSWORD 'quoted''s secret';
    CREATE ROLE ${lined} NOINHERIT CREATEDB CREATEROLE VALID UNTIL '2031-01-02 03:04:05+02';
    CREATE ROLE ${emoji} SUPERUSER REPLICATION BYPASSRLS LOGIN VALID UNTIL 'infinity';
    CREATE ROLE ${accent} LOGIN;
    CREATE ROLE ${keyword};
    CREATE ROLE ${dollar};
    CREATE ROLE ${soft};
    COMMENT ON ROLE ${plain} IS E'a comment\\nwith ''quotes'' and \\\\ back';
    ${hasLabel ? securityLabel : ""}
    SET allow_system_table_mods = off;
    ALTER ROLE ${plain} SET search_path TO "Odd, One", public, 'with "quote"', "$user";
    ALTER ROLE ${plain} SET work_mem TO '3MB';
    ALTER ROLE ${plain} SET datestyle TO iso, dmy;
    ALTER ROLE ${lined} SET my.setting TO E'va\\\\l''ue\\nx';
    ALTER ROLE ${emoji} SET search_path TO '';
    ALTER ROLE ${emoji} SET session_preload_libraries TO 'a b', 'c,d';
    GRANT ${plain} TO ${soft} WITH ADMIN OPTION;
    GRANT ${plain} TO ${keyword};
    GRANT pg_monitor TO ${plain};
    GRANT ${lined} TO ${quoted} WITH ADMIN OPTION;
    SET ROLE ${soft}; GRANT ${plain} TO ${accent} WITH ADMIN OPTION; RESET ROLE;
    SET ROLE ${accent}; GRANT ${plain} TO ${dollar}; RESET ROLE;
    ${major >= 15 ? parameterGrants : ""}
    ${major >= 16 ? grantOptions : ""}
    CREATE TABLESPACE ${plainSpace} OWNER ${plain} LOCATION ${locations[0]};
    CREATE TABLESPACE ${oddSpace} LOCATION ${locations[1]} WITH (seq_page_cost = 1.5, random_page_cost = 2);
    CREATE TABLESPACE ${keywordSpace} LOCATION ${locations[2]};
    GRANT CREATE ON TABLESPACE ${plainSpace} TO PUBLIC;
    GRANT CREATE ON TABLESPACE ${plainSpace} TO ${keyword} WITH GRANT OPTION;
    SET ROLE ${keyword}; GRANT CREATE ON TABLESPACE ${plainSpace} TO ${emoji}; RESET ROLE;
    REVOKE ALL ON TABLESPACE ${keywordSpace} FROM postgres;
    COMMENT ON TABLESPACE ${oddSpace} IS 'comm''ent';
  `;
}

/** No provider is loaded: a label can be read, and not be made. */
const securityLabel = `
    INSERT INTO pg_shseclabel SELECT oid, 'pg_authid'::regclass, 'Odd provider', 'la''bel' FROM pg_authid
      WHERE rolname = 'cluster_plain';
`;

const parameterGrants = `
    GRANT SET ON PARAMETER work_mem TO ${plain} WITH GRANT OPTION;
    GRANT ALTER SYSTEM ON PARAMETER work_mem TO ${plain};
    GRANT SET, ALTER SYSTEM ON PARAMETER "my.Odd" TO ${keyword};
    GRANT ALL ON PARAMETER log_statement TO PUBLIC;
    SET ROLE ${plain}; GRANT SET ON PARAMETER work_mem TO ${emoji}; RESET ROLE;
`;

const grantOptions = `
    GRANT ${keyword} TO ${quoted} WITH INHERIT FALSE, SET FALSE, ADMIN TRUE;
    GRANT ${keyword} TO ${soft} WITH INHERIT TRUE, SET FALSE;
    GRANT ${keyword} TO ${dollar} WITH INHERIT FALSE;
`;

/** Undoes globalsScript() on a server that others use too. */
export function dropScript(major: number): string {
  const roles = [plain, quoted, lined, emoji, accent, keyword, dollar, soft];
  return `
    DELETE FROM pg_shseclabel WHERE provider = 'Odd provider';
    DROP TABLESPACE IF EXISTS ${plainSpace}; DROP TABLESPACE IF EXISTS ${oddSpace}; DROP TABLESPACE IF EXISTS ${keywordSpace};
    ${major >= 15 ? "REVOKE ALL ON PARAMETER log_statement FROM PUBLIC;" : ""}
    DROP OWNED BY ${roles.join(", ")} CASCADE;
    DROP ROLE ${roles.join(", ")};
  `;
}

/** Folders beside a server's data, for tablespaces; they go away with the server. */
export async function makeFolders(server: TestServer, count: number): Promise<string[]> {
  const folders = Array.from({ length: count }, (_, index) => {
    return join(dirname(server.dataDirectory), `space ${Date.now()} ${index} \\ odd 🙂`);
  });
  for (const folder of folders) await runAsServerUser("/bin/mkdir", [folder]);
  return folders;
}

/**
 * Folders inside of a server's data, and places that mean them for this server alone: two servers of one major cannot share
 * a tablespace's folder, and a rebuilt one has its tablespaces where they were.
 */
export async function makeOwnPlaces(server: TestServer, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `odd \\ space ${index}`);
  for (const name of names) await runAsServerUser("/bin/mkdir", [join(server.dataDirectory, name)]);
  // A server works in its data folder.
  return names.map((name) => `/proc/self/cwd/${name}`);
}

/** What `pg_dumpall --globals-only` writes, with "x" as its random key. */
export async function stockGlobals(
  server: TestServer,
  flags: readonly string[] = [],
  user = "postgres",
): Promise<string> {
  const text = await runTool(server.tools.pgDumpall, [
    "--globals-only",
    ...flags,
    "-d",
    server.uri("postgres", { user }),
  ]);
  return text.replaceAll(/^(\\(?:un)?restrict) \w+$/gm, "$1 x");
}

/** Our globals of a server. */
export async function ownGlobals(uri: string, options: { readonly withPasswords?: boolean } = {}): Promise<Globals> {
  const settings = await resolveConnection({
    source: uri,
    environment: {},
    homeDirectory: "/nonexistent",
    userName: "x",
  });
  await using session = await openSession(settings);
  return await readGlobals(session, { withPasswords: options.withPasswords ?? true });
}

/** Settings of a cluster backup. */
export function clusterSettings(
  repository: TestRepository,
  source: string,
  settings: Partial<ClusterBackupSettings> = {},
): ClusterBackupSettings {
  return { ...repository.settings(source), excludedDatabases: [], withRolePasswords: true, ...settings };
}
