// What an archive needs of a server, and the archive for a database of another name.

import { expect, test } from "vitest";
import type { Toc, TocEntry } from "../archive/index.ts";
import { databaseNameOf, serverNeeds, withDatabaseName } from "./server-needs.ts";

function entry(description: string, tag: string, definition: string, more: Partial<TocEntry> = {}): TocEntry {
  return {
    dumpId: 1,
    hadDumper: false,
    catalogId: { tableOid: 0, oid: 0 },
    tag,
    description,
    section: "pre-data",
    definition,
    dropStatement: "",
    copyStatement: "",
    namespace: null,
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: "",
    dependencies: [],
    ...more,
  };
}

const tocOf = (...entries: readonly TocEntry[]): Toc => ({
  header: {} as Toc["header"],
  textEncoding: "utf8",
  entries,
});

test("serverNeeds() finds the roles in owners, privileges, policies, mappings and settings", () => {
  const needs = serverNeeds(
    tocOf(
      entry("TABLE", "t", "CREATE TABLE t ();", { owner: "owner", tablespace: "fast" }),
      entry("EVENT TRIGGER", "e", "CREATE EVENT TRIGGER e …", { owner: "boss" }),
      entry(
        "ACL",
        "TABLE t",
        'SET SESSION AUTHORIZATION "Gran Tor";\nGRANT SELECT ON TABLE t TO reader;\nRESET SESSION AUTHORIZATION;\n' +
          "GRANT SELECT ON TABLE t TO PUBLIC;\n",
        { owner: "owner" },
      ),
      entry("DEFAULT ACL", "d", 'ALTER DEFAULT PRIVILEGES FOR ROLE maker GRANT SELECT ON TABLES TO "o\'dd";\n'),
      entry(
        "POLICY",
        "t p",
        'CREATE POLICY p ON t FOR SELECT TO one, "Two ""2""", PUBLIC USING ((a = \'x TO y\'::text));\n',
      ),
      entry("POLICY", "t q", "CREATE POLICY q ON t USING ((a = ' TO nobody'::text));\n"),
      entry("USER MAPPING", "USER MAPPING mapped SERVER s", "CREATE USER MAPPING FOR mapped SERVER s;\n"),
      entry("DATABASE PROPERTIES", "shop", "ALTER ROLE setter IN DATABASE shop SET work_mem TO '1MB';\n"),
      entry(
        "DATABASE",
        "shop",
        "CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' TABLESPACE = \"slow one\";\n",
      ),
      entry("EXTENSION", "hstore", "CREATE EXTENSION hstore;"),
    ),
  );
  expect(needs.roles.map(({ name }) => name).toSorted()).toEqual([
    "Gran Tor",
    'Two "2"',
    "boss",
    "maker",
    "mapped",
    "o'dd",
    "one",
    "owner",
    "reader",
    "setter",
  ]);
  expect(needs.roles.filter(({ ownsAsSuperuser }) => ownsAsSuperuser)).toEqual([
    { name: "boss", ownsAsSuperuser: true },
  ]);
  expect(needs.tablespaces.toSorted()).toEqual(["fast", "slow one"]);
  expect(needs.extensions).toEqual(["hstore"]);
});

test.each(["shop", 'odd "name"', "DATABASE"])(
  "withDatabaseName() says everything of database %s of another one",
  (name) => {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const toc = tocOf(
      entry("DATABASE", name, `CREATE DATABASE ${quoted} WITH TEMPLATE = template0;\n`, {
        dropStatement: `DROP DATABASE ${quoted};\n`,
      }),
      entry(
        "DATABASE PROPERTIES",
        name,
        `ALTER DATABASE ${quoted} SET a TO 'DATABASE ${quoted}';\nALTER ROLE r IN DATABASE ${quoted} SET b TO '1';\n`,
      ),
      entry("COMMENT", `DATABASE ${quoted}`, `COMMENT ON DATABASE ${quoted} IS 'of DATABASE ${quoted}';\n`),
      entry("TABLE", name, `CREATE TABLE ${quoted} ();\n`),
    );
    expect(databaseNameOf(toc)).toBe(name);
    const renamed = withDatabaseName(toc, "drill");
    expect(databaseNameOf(renamed)).toBe("drill");
    const [database, properties, comment, table] = renamed.entries;
    expect(database).toMatchObject({
      definition: 'CREATE DATABASE "drill" WITH TEMPLATE = template0;\n',
      dropStatement: 'DROP DATABASE "drill";\n',
    });
    expect(properties!.definition).toBe(
      `ALTER DATABASE "drill" SET a TO 'DATABASE ${quoted}';\nALTER ROLE r IN DATABASE "drill" SET b TO '1';\n`,
    );
    expect(comment).toMatchObject({
      tag: "DATABASE drill",
      definition: `COMMENT ON DATABASE "drill" IS 'of DATABASE ${quoted}';\n`,
    });
    expect(table).toBe(toc.entries[3]);
    expect(withDatabaseName(toc, name)).toBe(toc);
  },
);
