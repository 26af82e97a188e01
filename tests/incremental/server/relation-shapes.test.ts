// readRelationShapes() on real servers: what changes a fingerprint, what does not, what is read each time.

import { expect, test } from "vitest";

import { readRelationShapes, SeenRelations, type RelationShape } from "../../../src/incremental/index.ts";
import { server } from "../../support/servers.ts";
import { known, sessionOn, shapeOf, signal } from "./support.ts";

const MAJORS = [17, 18] as const;

type Part = "column" | "type" | "neither";

/** Before; what is done; which fingerprint of table t changes. Each keeps the table's file, except where said. */
const CASES: readonly { name: string; before: string; change: string; changed: Part }[] = [
  {
    name: "a column dropped and added with a default",
    before: "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2)",
    change: "ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD COLUMN b int DEFAULT 9",
    changed: "column",
  },
  {
    name: "a column dropped and added without one",
    before: "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2)",
    change: "ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD COLUMN b int",
    changed: "column",
  },
  {
    name: "a column renamed",
    before: "CREATE TABLE t (a int, b int)",
    change: "ALTER TABLE t RENAME COLUMN b TO c",
    changed: "neither",
  },
  {
    name: "a renamed column that was added with a default",
    before: "CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b text DEFAULT 'x'",
    change: "ALTER TABLE t RENAME COLUMN b TO c",
    changed: "neither",
  },
  {
    name: "int to oid",
    before: "CREATE TABLE t (a int)",
    change: "ALTER TABLE t ALTER COLUMN a TYPE oid",
    changed: "column",
  },
  {
    name: "timestamp to timestamptz under UTC",
    before: "SET TimeZone TO 'UTC'; CREATE TABLE t (a timestamp)",
    change: "SET TimeZone TO 'UTC'; ALTER TABLE t ALTER COLUMN a TYPE timestamptz",
    changed: "column",
  },
  {
    name: "a longer varchar",
    before: "CREATE TABLE t (a varchar(10))",
    change: "ALTER TABLE t ALTER COLUMN a TYPE varchar(20)",
    changed: "column",
  },
  {
    name: "a generated column made an ordinary one",
    before: "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
    change: "ALTER TABLE t ALTER COLUMN b DROP EXPRESSION",
    changed: "column",
  },
  {
    name: "an enum label renamed",
    before: "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TABLE t (a mood)",
    change: "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    changed: "type",
  },
  {
    name: "an enum label renamed there and back",
    before: "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TABLE t (a mood)",
    change: "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'",
    changed: "type",
  },
  {
    name: "an enum label renamed inside an array of a domain",
    before: "CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN feeling AS mood; CREATE TABLE t (a feeling[])",
    change: "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    changed: "type",
  },
  {
    name: "an enum label renamed inside a domain over an array of a composite",
    before:
      "CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (a int, m mood); CREATE DOMAIN pairs AS pair[]; CREATE TABLE t (a pairs)",
    change: "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    changed: "type",
  },
  {
    name: "an enum label renamed inside a range",
    before: "CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE moods AS RANGE (subtype = mood); CREATE TABLE t (a moods)",
    change: "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    changed: "type",
  },
  {
    name: "an enum label renamed inside an array of multiranges",
    before:
      "CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE moods AS RANGE (subtype = mood, multirange_type_name = many); CREATE TABLE t (a many[])",
    change: "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    changed: "type",
  },
  {
    name: "a composite's attribute added",
    before: "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (p pair)",
    change: "ALTER TYPE pair ADD ATTRIBUTE c int",
    changed: "type",
  },
  {
    name: "a composite's attribute dropped",
    before: "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (p pair)",
    change: "ALTER TYPE pair DROP ATTRIBUTE b",
    changed: "type",
  },
  {
    name: "a composite's attribute renamed",
    before: "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (p pair)",
    change: "ALTER TYPE pair RENAME ATTRIBUTE b TO c",
    changed: "neither",
  },
  {
    name: "a column added to a table whose row type is a column",
    before: "CREATE TABLE other (a int, b int); CREATE TABLE t (o other, p other[])",
    change: "ALTER TABLE other ADD COLUMN c int",
    changed: "type",
  },
  {
    name: "a column dropped from a table whose row type is a column",
    before: "CREATE TABLE other (a int, b int); CREATE TABLE t (o other)",
    change: "ALTER TABLE other DROP COLUMN b",
    changed: "type",
  },
  {
    name: "what does not shape text: a check, a default, an owner, an index, a type of no column, statistics",
    before: "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (a int); INSERT INTO t VALUES (1)",
    change:
      "ALTER TABLE t ADD CHECK (a > 0); ALTER TABLE t ALTER a SET DEFAULT 3; CREATE INDEX ON t (a); ANALYZE t; " +
      "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; ALTER TABLE t ALTER a SET STATISTICS 10; UPDATE t SET a = 2",
    changed: "neither",
  },
];

test.each(MAJORS)(
  "readRelationShapes() sees each change that alters text in the same file, on PostgreSQL %i",
  async (major) => {
    const pg = await server(major);
    await using database = await pg.createDatabase();
    await using session = await sessionOn(database.uri);
    await using other = await sessionOn(database.uri);
    for (const { name, before, change, changed } of CASES) {
      await other.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${before}`);
      const then = await shapeOf(session, "public.t");
      await other.query(change);
      const now = await shapeOf(session, "public.t");
      expect(now.filenode, name).toBe(then.filenode);
      expect(differenceOf(then, now), name).toBe(changed);
      expect(now.alwaysReadBecause, name).toBe(null);
    }
  },
);

test.each(MAJORS)("SeenRelations.ofLocked() sees what another session has locked for reading, on %i", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  await using session = await sessionOn(database.uri);
  await using holder = await sessionOn(database.uri);
  await holder.query("CREATE TABLE locked (a int, b text); CREATE TABLE free (a int); CREATE TABLE written (a int)");
  const oidOf = async (name: string): Promise<number> => {
    return Number((await holder.query(`SELECT '${name}'::regclass::oid`)).value);
  };
  const [locked, free, written] = [await oidOf("locked"), await oidOf("free"), await oidOf("written")];
  await holder.query("BEGIN; LOCK TABLE locked IN ACCESS SHARE MODE; LOCK TABLE written IN ROW EXCLUSIVE MODE");
  const { processId } = holder.connection;
  const seen = known(await SeenRelations.ofLocked(session, processId, signal));
  expect([locked, free, written].map((oid) => seen.has(oid))).toEqual([true, false, false]);
  const relations = [locked, free].map((oid) => ({ oid, blockCount: 7 }));
  expect(seen.shapesOf(relations)).toEqual(known(await readRelationShapes(session, relations.slice(0, 1), signal)));
  expect(known(await SeenRelations.ofLocked(session, 2_000_000_000, signal)).has(locked)).toBe(false);
});

function differenceOf(then: RelationShape, now: RelationShape): string {
  const parts = [
    then.columnFingerprint === now.columnFingerprint ? [] : ["column"],
    then.typeFingerprint === now.typeFingerprint ? [] : ["type"],
  ].flat();
  // Another column type is another type too.
  return parts.includes("column") ? "column" : (parts[0] ?? "neither");
}
