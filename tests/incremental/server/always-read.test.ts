// readRelationShapes(): relations that are read whatever the WAL says, and that no lock is waited for.

import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";

import { readRelationShapes } from "../../../src/incremental/index.ts";
import { server } from "../../support/servers.ts";
import { known, sessionOn, shapeOf, signal } from "./support.ts";

const MAJORS = [17, 18] as const;

const OBJECTIONS: readonly (readonly [definition: string, reason: RegExp | null])[] = [
  ["TABLE t (a regclass)", /type regclass/],
  ["TABLE t (a regrole[])", /type regrole/],
  ["TABLE t (a aclitem)", /type aclitem/],
  ["TABLE t (a money)", /type money/],
  ["TABLE t (a with_reg)", /type regtype/],
  ["TABLE t (a reg_domain[])", /type regproc/],
  ["TABLE t (a own_type)", /type own_type is printed by a function/],
  ["TABLE t (a int, b own_type[])", /type own_type/],
  ["TABLE t (a isbn)", /type isbn of extension isn/],
  ["UNLOGGED TABLE t (a int)", /unlogged/],
  ["TABLE t (a citext, b hstore, c ltree[], d cube)", null],
  [
    "TABLE t (a text, b jsonb, c name, d xml, e point, f tsvector, g int4multirange, h pg_lsn, i oid, j inet[], k bit(3))",
    null,
  ],
  ["TABLE t ()", null],
];

const EXTENSIONS = ["hstore", "ltree", "cube", "isn"].map((name) => `CREATE EXTENSION ${name};`).join("\n");

const TYPES = `
CREATE TYPE with_reg AS (a int, b regtype); CREATE DOMAIN reg_domain AS regproc;
CREATE TYPE own_type;
CREATE FUNCTION own_in(cstring) RETURNS own_type LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION own_out(own_type) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE own_type (INPUT = own_in, OUTPUT = own_out, LIKE = int4);`;

test.each(MAJORS)("readRelationShapes() says why a relation is always read, on PostgreSQL %i", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  await using session = await sessionOn(database.uri);
  await database.psql(`CREATE EXTENSION citext; ${EXTENSIONS} ${TYPES}`);
  for (const [definition, reason] of OBJECTIONS) {
    await session.query(`DROP TABLE IF EXISTS t; CREATE ${definition}`);
    const { alwaysReadBecause } = await shapeOf(session, "public.t");
    if (reason === null) expect(alwaysReadBecause, definition).toBe(null);
    else expect(alwaysReadBecause, definition).toMatch(reason);
  }
  await database.psql(`
    CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER remote FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE f (a int) SERVER remote; CREATE MATERIALIZED VIEW v AS SELECT 1;
    CREATE ACCESS METHOD rival TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE r (a int) USING rival;
    CREATE TABLE config (a int); CREATE TABLE half_config (a int);
    ALTER EXTENSION citext ADD TABLE config; ALTER EXTENSION citext ADD TABLE half_config;
    UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid, 'half_config'::regclass::oid],
                            extcondition = ARRAY['', 'WHERE a > 1'] WHERE extname = 'citext'`);
  expect((await shapeOf(session, "public.f")).alwaysReadBecause).toMatch(/foreign table/);
  expect((await shapeOf(session, "public.v")).alwaysReadBecause).toMatch(/not a table/);
  expect((await shapeOf(session, "public.r")).alwaysReadBecause).toMatch(/access method is rival/);
  expect((await shapeOf(session, "public.config")).alwaysReadBecause).toBe(null);
  expect((await shapeOf(session, "public.half_config")).alwaysReadBecause).toMatch(/some of its rows/);
});

test("readRelationShapes() changes the type fingerprint when an extension is updated or an output function replaced", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await using session = await sessionOn(database.uri);
  await database.psql(`CREATE EXTENSION citext VERSION '1.4'; ${TYPES}
    CREATE TABLE t (a citext[]); CREATE TABLE o (a own_type)`);
  const extended = await shapeOf(session, "public.t");
  const own = await shapeOf(session, "public.o");
  await database.psql(`ALTER EXTENSION citext UPDATE;
    CREATE OR REPLACE FUNCTION own_out(own_type) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'oidout'`);
  expect((await shapeOf(session, "public.t")).typeFingerprint).not.toBe(extended.typeFingerprint);
  expect((await shapeOf(session, "public.o")).typeFingerprint).not.toBe(own.typeFingerprint);
});

test("readRelationShapes() waits for no lock: not for a queued ALTER, nor for that of a table whose row type is a column", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await database.psql(`CREATE TABLE other (a int); CREATE TABLE t (a int, o other);
    ALTER TABLE t ADD COLUMN p other DEFAULT NULL; ALTER TABLE t ADD COLUMN q other DEFAULT ROW(1)::other`);
  await using session = await sessionOn(database.uri);
  const free = await shapeOf(session, "public.t");
  await using holder = await sessionOn(database.uri);
  await holder.query("BEGIN; LOCK TABLE t, other IN ACCESS SHARE MODE");
  await using one = await sessionOn(database.uri);
  await using two = await sessionOn(database.uri);
  const altering = [
    one.query("ALTER TABLE t ADD COLUMN z int"),
    two.query("LOCK TABLE other IN ACCESS EXCLUSIVE MODE; ROLLBACK").catch(() => {}),
  ];
  // A session that has looked a type up before would not need to again.
  await using fresh = await sessionOn(database.uri);
  const waiting =
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
  while ((await fresh.query(waiting)).value !== "2") await delay(10);
  const oid = free.oid;
  const shapes = known(await readRelationShapes(fresh, [{ oid, blockCount: 7 }], signal));
  expect(shapes.get(oid)).toEqual(free);
  await holder.query("ROLLBACK");
  await Promise.all(altering);
});

test("readRelationShapes() works where names and labels are no valid text", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
  const sql = `SET client_encoding TO SQL_ASCII;
    CREATE TYPE "m\xffood" AS ENUM ('\xfe', 'b'); CREATE TABLE t (a "m\xffood"[], b text DEFAULT '\xfd');
    ALTER TABLE t ADD COLUMN c text DEFAULT '\xfd'; ${TYPES.replaceAll("own_type", '"o\xff"')}
    CREATE TABLE o (a "o\xff")`;
  await database.psql(Buffer.from(sql, "latin1"));
  await using session = await sessionOn(database.uri);
  const then = await shapeOf(session, "public.t");
  expect(then.alwaysReadBecause).toBe(null);
  await database.psql(Buffer.from("ALTER TYPE \"m\xffood\" RENAME VALUE 'b' TO '\xfc'", "latin1"));
  expect((await shapeOf(session, "public.t")).typeFingerprint).not.toBe(then.typeFingerprint);
  expect((await shapeOf(session, "public.o")).alwaysReadBecause).toMatch(/^type o. is printed by a function/);
});
