// What a single database's backup carries of its server: the roles and tablespaces that it needs, and nothing else; shown
// as SQL that the stock psql runs on another server; with passwords sealed.

import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { runShow } from "../../src/operations/show/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { makeFolders } from "./support.ts";

const OWNER = `carried "owner" 'x'\n🙂`;
const [owner, reader, policy, setting, stranger] = [
  OWNER,
  "carried reader",
  "carried policy",
  "carried setting",
  "carried stranger",
].map((name) => `"${name.replaceAll('"', '""')}"`);
const SPACE = '"carried ""space"""';

let pg: TestServer;
let database: TestDatabase;
let repository: TestRepository;

beforeAll(async () => {
  [pg, repository] = await Promise.all([server(18), TestRepository.create()]);
  const [folder] = await makeFolders(pg, 1);
  database = await pg.createDatabase();
  await database.psql(`
    CREATE ROLE ${owner} LOGIN PASSWORD 'owner''s secret' VALID UNTIL '2040-01-01';
    CREATE ROLE ${reader} NOINHERIT; CREATE ROLE ${policy}; CREATE ROLE ${setting}; CREATE ROLE ${stranger} PASSWORD 'strange';
    GRANT ${reader} TO ${owner} WITH ADMIN OPTION; GRANT ${stranger} TO ${owner};
    CREATE TABLESPACE ${SPACE} OWNER ${owner} LOCATION E'${folder!.replaceAll("\\", "\\\\")}';
    CREATE TABLE kept (id int) TABLESPACE ${SPACE};
    ALTER TABLE kept OWNER TO ${owner};
    GRANT SELECT ON kept TO ${reader};
    CREATE POLICY only_some ON kept TO ${policy} USING (true);
    ALTER ROLE ${setting} IN DATABASE "${database.name}" SET work_mem = '3MB';
  `);
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
  await pg?.psql(
    "postgres",
    `DROP TABLESPACE IF EXISTS ${SPACE}; DROP ROLE IF EXISTS ${[owner, reader, policy, setting, stranger].join(", ")}`,
  );
  await repository?.[Symbol.asyncDispose]();
});

async function shownGlobals(reference: string, from = repository): Promise<string> {
  const settings = { repository: from.access, reference, what: "globals", tables: [] } as const;
  const shown = await runShow(from.context(), settings);
  return shown.what === "globals" ? shown.text : "";
}

test("backup carries the roles that own, hold, are named in policies and settings, and show --globals prints them", async () => {
  const receipt = await repository.backup(database.uri);
  expect(receipt.globals).toEqual({ roleCount: 5, membershipCount: 1, tablespaceCount: 1, passwords: "carried" });
  const text = await shownGlobals(receipt.id);
  expect(text).toMatch(/ LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256\$4096:[^']+' VALID UNTIL '2040-01-01/);
  for (const role of [owner, reader, policy, setting]) expect(text).toContain(`CREATE ROLE ${role};\n`);
  expect(text).toContain(`GRANT ${reader} TO ${owner} WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;\n`);
  expect(text).toContain(`CREATE TABLESPACE ${SPACE} OWNER ${owner} LOCATION E'`);
  expect(text).not.toContain("stranger");

  // The same roles under other names, on the same server.
  const runnable = text.replace(/^CREATE ROLE postgres;\n/m, "").replace(/^CREATE TABLESPACE (.|\n)*?;\n/m, "");
  await pg.psql("postgres", runnable.replaceAll('"carried ', '"again '));
  const again = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'again ')";
  expect(await pg.psql("postgres", `SELECT count(*) FROM (${again}) AS r`)).toBe("4");
  await pg.psql("postgres", `SELECT format('DROP ROLE %I', rolname) FROM (${again}) AS r \\gexec\n`);
});

test("backup --no-role-passwords and --no-globals carry less", async () => {
  const without = await repository.backup(database.uri, { globals: "without passwords", lineage: "without" });
  expect(without.globals).toMatchObject({ roleCount: 5, passwords: "left out" });
  expect(await shownGlobals(without.id)).not.toContain("PASSWORD");
  const none = await repository.backup(database.uri, { globals: "none", lineage: "none" });
  expect(none.globals).toBeNull();
  await expect(shownGlobals(none.id)).rejects.toMatchObject({ code: "not_found" });
});

test("backup seals password hashes; without encryption it warns", async () => {
  const hash = await pg.psql("postgres", `SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'carried "owner"%'`);
  const plain = await TestRepository.create({ isEncrypted: false });
  await using _ = plain;
  const receipt = await plain.backup(database.uri);
  expect(receipt.warnings).toEqual([expect.stringContaining("not encrypted: the password hashes of 1 role")]);
  expect((await plain.backup(database.uri, { globals: "without passwords" })).warnings).toEqual([]);
  expect(await shownGlobals(receipt.id, plain)).toContain(hash);

  const told = JSON.stringify([receipt, plain.events, await repository.backup(database.uri), repository.events]);
  expect(told).not.toContain("SCRAM");
  for (const file of await readdir(repository.access.location, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    expect((await readFile(join(file.parentPath, file.name))).includes("SCRAM-SHA-256"), file.name).toBe(false);
  }
});

test("backup by who may not read pg_authid carries roles without passwords", async () => {
  const receipt = await repository.backup(pg.uri(database.name, { user: OWNER }), { lineage: "weak" });
  expect(receipt.globals).toMatchObject({ roleCount: 5, passwords: "not readable" });
  expect(await shownGlobals(receipt.id)).not.toContain("PASSWORD");
});

// What another session leaves for a moment while it drops a tablespace: the row without the place.
test("a tablespace whose place is gone is no obstacle to a database that does not use it", async () => {
  await using own = await ownServer(18);
  const [folder] = await makeFolders(own, 1);
  await own.psql("postgres", `CREATE TABLESPACE gone LOCATION E'${folder!.replaceAll("\\", "\\\\")}'`);
  const oid = await own.psql("postgres", "SELECT oid FROM pg_tablespace WHERE spcname = 'gone'");
  await rm(join(own.dataDirectory, "pg_tblspc", oid));
  const receipt = await repository.backup(own.uri("postgres"), { lineage: "gone" });
  expect(receipt.warnings).toEqual([]);
  expect(receipt.globals).toMatchObject({ roleCount: 1, tablespaceCount: 0 });
});
