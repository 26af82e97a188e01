import { describe, expect, test } from "vitest";
import type { Section, Toc, TocEntry } from "../archive/index.ts";
import { dropStatements } from "./drops.ts";
import { parseFilter } from "./filter-file.ts";
import { planRestore } from "./plan.ts";
import { planScratch } from "./scratch.ts";
import { rolesOfAcl } from "./target.ts";

function entry(dumpId: number, description: string, tag: string, more: Partial<TocEntry> = {}): TocEntry {
  const sections: Record<string, Section> = { "TABLE DATA": "data", INDEX: "post-data", "FK CONSTRAINT": "post-data" };
  return {
    dumpId,
    hadDumper: description === "TABLE DATA",
    catalogId: { tableOid: 0, oid: 0 },
    tag,
    description,
    section: sections[description] ?? (description === "ACL" || description === "COMMENT" ? "none" : "pre-data"),
    definition: description === "TABLE DATA" ? "" : `CREATE ${description} ${tag};\n`,
    dropStatement: description === "TABLE DATA" ? "" : `DROP ${description} public.${tag};\n`,
    copyStatement: description === "TABLE DATA" ? `COPY public.${tag} (a) FROM stdin;\n` : "",
    namespace: "public",
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: "joe",
    dependencies: [],
    ...more,
  };
}

function toc(entries: readonly TocEntry[], pgDumpVersion = "18.6"): Toc {
  const createdAt = { second: 0, minute: 0, hour: 0, monthDay: 1, month: 0, yearsSince1900: 126, isDst: 0 };
  const header = {
    version: "1.16",
    format: "custom",
    intSizeBytes: 4,
    offsetSizeBytes: 8,
    compression: "none",
    compressionLevel: -1,
    createdAt,
    databaseName: "db",
    serverVersion: "18.6",
    pgDumpVersion,
  } as const;
  const settings = [
    entry(9001, "ENCODING", "ENCODING", { definition: "SET client_encoding = 'UTF8';\n", namespace: null }),
    entry(9002, "STDSTRINGS", "STDSTRINGS", {
      definition: "SET standard_conforming_strings = 'on';\n",
      namespace: null,
    }),
    entry(9003, "SEARCHPATH", "SEARCHPATH", {
      definition: "SELECT pg_catalog.set_config('search_path', '', false);\n",
    }),
  ];
  return { header, textEncoding: "utf8", entries: [...settings, ...entries] };
}

const TWO_TABLES = toc([
  entry(1, "TABLE", "a"),
  entry(2, "TABLE", "b"),
  entry(3, "ACL", "TABLE a", { dependencies: [1] }),
  entry(11, "TABLE DATA", "a", { dependencies: [1] }),
  entry(12, "TABLE DATA", "b", { dependencies: [2] }),
  entry(21, "INDEX", "a_x", { dependencies: [1] }),
  entry(22, "FK CONSTRAINT", "b b_a_fkey", { dependencies: [2, 1, 21] }),
]);

describe("planRestore()", () => {
  const target = { version: 180000 };

  test("with one job, walks the entries in passes, privileges after the data", () => {
    const plan = planRestore(TWO_TABLES, {}, target);
    expect(plan.serial.map((task) => task.entry.dumpId)).toEqual([1, 2, 11, 12, 21, 22, 3]);
    expect(plan.parallel).toEqual([]);
  });

  test("with jobs, lets post-data wait for the rows and lock what it alters", () => {
    const plan = planRestore(TWO_TABLES, { jobs: 2 }, { ...target, sizes: new Map([[11, 500]]) });
    expect(plan.serial.map((task) => task.entry.dumpId)).toEqual([1, 2]);
    const tasks = new Map(plan.parallel.map((task) => [task.entry.dumpId, task]));
    expect(tasks.get(21)).toMatchObject({ dependencies: [11], locks: [], sizeBytes: 500 });
    expect(tasks.get(22)).toMatchObject({ dependencies: [12, 11, 21], locks: [12, 11], sizeBytes: 500 });
    expect(tasks.get(11)?.load).toMatchObject({ kind: "copy", isOwn: true, isDominant: true });
    expect(tasks.get(11)).toMatchObject({ dependencies: [], uses: [1] });
  });

  test("with jobs, lets privileges in a schema wait for the schema's own", () => {
    const plan = planRestore(
      toc([
        entry(1, "SCHEMA", "odd schema", { namespace: null }),
        entry(2, "TABLE", "a", { namespace: "odd schema", dependencies: [1] }),
        entry(3, "ACL", "TABLE a", { namespace: "odd schema", dependencies: [2] }),
        entry(4, "ACL", 'SCHEMA "odd schema"', { namespace: null, dependencies: [1] }),
        entry(5, "TABLE", "b"),
        entry(6, "ACL", "TABLE b", { dependencies: [5] }),
        entry(7, "ACL", "SCHEMA public", { namespace: null }),
      ]),
      { jobs: 2 },
      target,
    );
    const dependencies = plan.parallel.map((task) => [task.entry.dumpId, task.dependencies]);
    expect(dependencies).toEqual([
      [3, [4]],
      [4, []],
      [6, [7]],
      [7, []],
    ]);
  });

  test("takes no table for its own that it does not create, nor one that is constrained before its data", () => {
    const data = planRestore(TWO_TABLES, { jobs: 2, dataOnly: true }, target);
    expect(data.parallel.find((task) => task.entry.dumpId === 11)?.load).toMatchObject({ isOwn: false });
    const early = entry(5, "CONSTRAINT", "a a_key", { dependencies: [1] });
    const plan = planRestore(toc([...TWO_TABLES.entries.slice(3), early]), { jobs: 2 }, target);
    expect(plan.parallel.find((task) => task.entry.dumpId === 11)?.load).toMatchObject({ isOwn: false });
  });

  test.each([
    [
      { jobs: 2 },
      [
        [11, 76],
        [12, 24],
      ],
      [11],
    ],
    [
      { jobs: 2 },
      [
        [11, 75],
        [12, 25],
      ],
      [],
    ],
    [
      { jobs: 4 },
      [
        [11, 38],
        [12, 62],
      ],
      [11, 12],
    ],
    [{ jobs: 4 }, [], []],
  ] as const)("with %o and sizes %o, the dominant tables are %o", (options, sizes, expected) => {
    const plan = planRestore(TWO_TABLES, options, { ...target, sizes: new Map(sizes) });
    const dominant = plan.parallel.filter(({ load }) => load?.kind === "copy" && load.isDominant);
    expect(dominant.map((task) => task.entry.dumpId)).toEqual(expected);
  });

  test("refuses entries that depend on one another in a circle", () => {
    const circle = toc([entry(1, "VIEW", "a", { dependencies: [2] }), entry(2, "VIEW", "b", { dependencies: [1] })]);
    expect(() => planRestore(circle, {}, target)).toThrow("depend on one another in a circle");
  });

  test.each([
    [{ schemaOnly: true, dataOnly: true }, "cannot be used together"],
    [{ clean: true, dataOnly: true }, "cannot be used together"],
    [{ create: true, singleTransaction: true }, "cannot be used together"],
    [{ singleTransaction: true, jobs: 2 }, "multiple jobs"],
    [{ ifExists: true }, "requires option"],
    [{ jobs: 0 }, "--jobs must be"],
    [{ transactionSize: 0 }, "--transaction-size must be"],
    [{ tables: ["none"], strictNames: true }, 'table "none" not found'],
    [{ useList: "77; 0 0 TABLE a" }, "could not find entry for ID 77"],
  ])("refuses %j as pg_restore does", (options, message) => {
    expect(() => planRestore(TWO_TABLES, options, target)).toThrow(message);
  });

  test("sends no setting that an older server does not know", () => {
    expect(planRestore(TWO_TABLES, {}, target).sessionStatements).toContain("SET transaction_timeout = 0;");
    expect(planRestore(TWO_TABLES, {}, { version: 160000 }).sessionStatements.join("")).not.toContain(
      "transaction_timeout",
    );
  });

  test("writes table-level NOT NULL as ALTER COLUMN below 18, and says so", () => {
    const definition = `CREATE TABLE public.c (\n    x int CONSTRAINT "n" NOT NULL,\n    CONSTRAINT "c, n" NOT NULL "B",\n    CHECK (x > f(1, 2))\n)\nINHERITS (public.p);\n`;
    const plan = planRestore(toc([entry(1, "TABLE", "c", { definition })]), {}, { version: 170000 });
    expect(plan.serial[0]?.statements[0]?.sql).toBe(
      `CREATE TABLE public.c (\n    x int CONSTRAINT "n" NOT NULL,\n    CHECK (x > f(1, 2))\n)\nINHERITS (public.p);\n\nALTER TABLE ONLY "public"."c" ALTER COLUMN "B" SET NOT NULL;\n`,
    );
    expect(plan.adaptations).toMatchObject([
      { rule: "table_not_null", dumpId: 1, change: 'CONSTRAINT "c, n" NOT NULL "B"' },
    ]);
  });

  test("leaves pg_attver out and keeps the options beside it", () => {
    const definition =
      "CREATE TABLE public.c (\n    x int\n);\nALTER TABLE ONLY public.c ALTER COLUMN x SET (n_distinct=5, pg_attver=7);\n";
    const plan = planRestore(toc([entry(1, "TABLE", "c", { definition })]), {}, target);
    expect(plan.serial[0]?.statements[0]?.sql).toContain("ALTER COLUMN x SET (n_distinct=5);");
    expect(plan.adaptations.map((adaptation) => adaptation.rule)).toEqual(["column_version"]);
  });
});

describe("dropStatements()", () => {
  const drop = (description: string, dropStatement: string): string =>
    dropStatements(entry(1, description, "x", { dropStatement }), true).join("");

  test("puts IF EXISTS where pg_restore does", () => {
    expect(drop("TABLE", "DROP TABLE a.x;\n")).toBe("DROP TABLE IF EXISTS a.x;\n");
    expect(drop("FK CONSTRAINT", "ALTER TABLE ONLY a.x DROP CONSTRAINT y;\n")).toBe(
      "ALTER TABLE IF EXISTS ONLY a.x DROP CONSTRAINT IF EXISTS y;\n",
    );
    expect(drop("DEFAULT", "ALTER TABLE a.x ALTER COLUMN y DROP DEFAULT;\n")).toBe(
      "ALTER TABLE IF EXISTS a.x ALTER COLUMN y DROP DEFAULT;\n",
    );
    expect(drop("RULE", "CREATE OR REPLACE VIEW a.x AS SELECT 1;\n")).toBe("CREATE OR REPLACE VIEW a.x AS SELECT 1;\n");
    expect(drop("SCHEMA", "-- *not* dropping schema, since initdb creates it\n")).toMatch(/^--/);
  });

  test("unlinks each large object of a metadata entry", () => {
    const metadata = entry(1, "BLOB METADATA", "1..2", { definition: "1\n2\n", dropStatement: "SELECT 1;\n" });
    expect(dropStatements(metadata, false)).toEqual([
      "SELECT pg_catalog.lo_unlink('1');",
      "SELECT pg_catalog.lo_unlink('2');",
    ]);
  });
});

test("parseFilter() reads names as pg_restore does, and refuses what it refuses", () => {
  const text = `# comment\n\n include table  a\ninclude function "F"( int ,  text ) # end\nexclude schema "a\nb"\ninclude index x\n`;
  expect(parseFilter(text)).toMatchObject({
    tables: ["a"],
    functions: ['"F"(int, text)'],
    excludeSchemas: ['"a\nb"'],
    indexes: ["x"],
  });
  for (const bad of [
    "include",
    "take table a",
    "include thing a",
    "exclude table a",
    "include table_data a",
    "include table",
    'include table "a',
  ]) {
    expect(() => parseFilter(bad)).toThrow("invalid format in filter on line");
  }
});

test("planScratch() takes table, rows and index, and lists the foreign key", () => {
  const plan = planScratch(TWO_TABLES, { tables: ["public.b"], databaseName: "s" }, { version: 180000 });
  expect(plan.plan.serial.filter((task) => task.isWanted).map((task) => task.entry.dumpId)).toEqual([2, 12]);
  expect(plan.leftOut.map((left) => left.entry.dumpId)).toEqual([22]);
  expect(plan.createStatements[0]).toBe(`CREATE DATABASE "s_incomplete" WITH TEMPLATE = template0 ENCODING = 'UTF8';`);
  expect(() => planScratch(TWO_TABLES, { tables: ["a"], databaseName: "x".repeat(60) }, { version: 180000 })).toThrow(
    "bytes",
  );
});

test("rolesOfAcl() finds the roles that privileges name", () => {
  const sql = `REVOKE ALL ON TABLE a FROM joe;\nGRANT SELECT ON TABLE a TO "Jane Doe" WITH GRANT OPTION;\nGRANT ALL ON a TO PUBLIC;`;
  expect(rolesOfAcl(sql)).toEqual(["joe", "Jane Doe"]);
});
