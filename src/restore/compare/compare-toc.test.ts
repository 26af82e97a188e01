// compareTocs(): what is a difference, and what PostgreSQL itself makes.

import { expect, test } from "vitest";
import type { Toc, TocEntry } from "../../archive/index.ts";
import { compareTocs } from "./compare-toc.ts";

const VERSIONS = { sourceMajor: 18, pgDumpMajor: 18 };

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
    namespace: "public",
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: "shop",
    dependencies: [],
    ...more,
  };
}

const tocOf = (...entries: readonly TocEntry[]): Toc => ({
  header: {} as Toc["header"],
  textEncoding: "utf8",
  entries,
});

function differences(expected: TocEntry | null, found: TocEntry | null, versions = VERSIONS): string[] {
  const [archive, restored] = [expected, found].map((one) => tocOf(...(one === null ? [] : [one])));
  return compareTocs(archive!, restored!, versions).differences.map(({ name, what }) => `${name} ${what}`);
}

const view = (sql: string): TocEntry =>
  entry("VIEW", "v", `CREATE VIEW public.v AS\n SELECT ${sql}\n   FROM public.t;\n`);
const check = (sql: string): TocEntry =>
  entry("CHECK CONSTRAINT", "t c", `ALTER TABLE public.t ADD CONSTRAINT c CHECK (${sql});\n`);

test("compareTocs() names what is missing, what is more, and what is otherwise", () => {
  const index = entry("INDEX", "i", "CREATE INDEX i ON public.t USING btree (a);\n");
  expect(differences(index, null)).toEqual(["INDEX public.i is missing"]);
  expect(differences(null, index)).toEqual(["INDEX public.i is not in the archive"]);
  expect(differences(index, { ...index, owner: "other", tablespace: "fast" })).toEqual([
    "INDEX public.i has another owner, tablespace",
  ]);
  expect(differences(index, { ...index, dumpId: 7, dependencies: [3], catalogId: { tableOid: 1, oid: 2 } })).toEqual(
    [],
  );
  const [one, other] = [entry("CAST", "CAST", "a"), entry("CAST", "CAST", "b")];
  expect(compareTocs(tocOf(one, one), tocOf(one, other), VERSIONS).differences).toMatchObject([
    { name: "CAST public.CAST (2)", expected: "a", found: "b" },
  ]);
});

test.each([
  [
    "((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
    "((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text]))",
    true,
  ],
  ["(a > (1)::numeric(10,2))", "(a > 1)", true],
  ["(s = ANY (ARRAY['a'::text]))", "(s = ANY (ARRAY['b'::text]))", false],
  ["(s = '(a)'::text)", "(s = 'a'::text)", false],
  ["(s = 'x::text'::text)", "(s = 'x'::text)", false],
  ['("A" > 1)', "(a > 1)", false],
  ["(a > 1)", "(a >= 1)", false],
  ["(t = '2026-01-01 00:00:00+00'::timestamp with time zone)", "(t = '2026-01-01 00:00:00+00')", true],
])("compareTocs() of CHECK %s and %s: equal is %s", (one, other, isEqual) => {
  expect(differences(check(one), check(other))).toHaveLength(isEqual ? 0 : 1);
});

test("compareTocs() excuses the name that a cast gives a column, and no other name", () => {
  expect(differences(view("NULL::integer"), view("NULL::integer AS int4"))).toEqual([]);
  expect(differences(view("a AS b"), view("a AS c"))).toHaveLength(1);
  expect(differences(view("a::text AS b"), view("a::text AS c"))).toHaveLength(1);
  // Only where there are expressions.
  const comment = (text: string): TocEntry => entry("COMMENT", "TABLE t", `COMMENT ON TABLE public.t IS ${text};\n`);
  expect(differences(comment("'a'"), comment("('a')"))).toHaveLength(1);
});

test("compareTocs() excuses the order of a child's columns, and nothing else of it", () => {
  const child = (...lines: readonly string[]): TocEntry =>
    entry(
      "TABLE",
      "c",
      `CREATE TABLE public.c (\n${lines.map((line) => `    ${line}`).join(",\n")}\n)\nINHERITS (public.p);\n`,
    );
  expect(differences(child("a integer", "b text"), child("b text", "a integer"))).toEqual([]);
  expect(differences(child("a integer", "b text"), child("b text", "a bigint"))).toHaveLength(1);
  expect(differences(child("a integer", "b text"), child("b text"))).toHaveLength(1);
  const plain = (body: string): TocEntry => entry("TABLE", "p", `CREATE TABLE public.p (\n${body}\n);\n`);
  expect(differences(plain("    a integer,\n    b text"), plain("    b text,\n    a integer"))).toHaveLength(1);
  const data = (columns: string): TocEntry =>
    entry("TABLE DATA", "c", "", { copyStatement: `COPY public.c (${columns}) FROM stdin;\n`, hadDumper: true });
  expect(differences(data('a, "b, c"'), data('"b, c", a'))).toEqual([]);
  expect(differences(data("a, b"), data("a, c"))).toHaveLength(1);
});

test("compareTocs() excuses the privileges of schema public of old servers only", () => {
  const acl = entry("ACL", "SCHEMA public", "GRANT ALL ON SCHEMA public TO PUBLIC;\n", { namespace: null });
  expect(differences(null, acl, { sourceMajor: 14, pgDumpMajor: 15 })).toEqual([]);
  expect(differences(null, acl)).toHaveLength(1);
  expect(differences(acl, null, { sourceMajor: 14, pgDumpMajor: 15 })).toHaveLength(1);
});

test("compareTocs() leaves statistics and positions of sequences out, and shortens long definitions", () => {
  const position = entry("SEQUENCE SET", "s", "SELECT pg_catalog.setval('public.s', 1, true);\n");
  expect(differences(position, null)).toEqual([]);
  expect(differences(entry("STATISTICS DATA", "t", "x"), null)).toEqual([]);
  const long = entry("FUNCTION", "f()", "x".repeat(100_000));
  const [difference] = compareTocs(tocOf(long), tocOf(), VERSIONS).differences;
  expect(difference!.expected!.length).toBeLessThan(5000);
});

test("compareTocs() takes the wording of another pg_dump for equal where the archive's definitions give the same", () => {
  const index = entry("INDEX", "i", "CREATE INDEX i ON public.t USING btree (a);\n");
  const worded = { ...index, definition: "CREATE INDEX i ON ONLY public.t USING btree (a);\n" };
  const object = entry("BLOB", "70001", "", { namespace: null });
  const judge = (archive: TocEntry | null, restored: TocEntry | null, reference: TocEntry | null): string => {
    const [expected, found, made] = [archive, restored, reference].map((one) => tocOf(...(one === null ? [] : [one])));
    const result = compareTocs(expected!, found!, VERSIONS, {
      toc: made!,
      reason: "18.3 words it otherwise than 18.6",
    });
    const { comparedCount, differences: different, excused, notCompared } = result;
    const first = [...different.map(({ what }) => what), ...[...excused, ...notCompared].map(({ reason }) => reason)];
    return `${comparedCount} ${first.join()}`;
  };
  expect(judge(index, index, null)).toBe("1 ");
  expect(judge(index, worded, worded)).toBe(
    "1 18.3 words it otherwise than 18.6; the archive's definitions give the same here",
  );
  expect(judge(index, worded, index)).toBe("1 has another definition");
  expect(judge(null, index, index)).toMatch(/^0 .*; the archive's definitions give the same here$/);
  expect(judge(null, index, null)).toBe("0 is not in the archive");
  // What is missing is never excused; where the program writes no such entry at all, it was not compared.
  expect(judge(index, null, index)).toBe("1 is missing");
  expect(judge(index, null, null)).toBe("0 18.3 words it otherwise than 18.6: it writes no such entry here");
  // Nor whose it is; and a reference has no large objects.
  const other = { ...worded, owner: "other" };
  expect(judge(index, other, other)).toBe("1 has another definition, owner");
  expect(judge(object, null, null)).toBe("1 is missing");
});
