import { expect, test } from "vitest";

import { parseCopyStatement, relationOfCopy } from "./copy-statement.ts";

test.each([
  ["COPY public.t (a, b) TO stdout;", "public.t"],
  ['COPY "odd (name"."t"" FROM x" ("a b", " FROM ") TO stdout;', '"odd (name"."t"" FROM x"'],
  ["COPY public.t  TO stdout;", "public.t"],
  ["COPY (SELECT a, b FROM public.t WHERE a > 1) TO stdout;", "public.t"],
  ['COPY (SELECT "x FROM y", "it""s FROM " FROM s."a b" WHERE note = \' FROM z\') TO stdout;', 's."a b"'],
  ["COPY (SELECT * FROM s.t WHERE true) TO stdout;", "s.t"],
  ["COPY (VALUES (1)) TO stdout;", null],
])("relationOfCopy() finds the relation of %s", (statement, name) => {
  expect(relationOfCopy(statement)).toBe(name);
});

test("parseCopyStatement() takes a plain statement apart, and no other", () => {
  expect(parseCopyStatement('COPY s.t (a, "b c") TO stdout;')).toEqual({ name: "s.t", columns: 'a, "b c"' });
  expect(parseCopyStatement("COPY s.none  TO stdout;")).toEqual({ name: "s.none", columns: "" });
  expect(parseCopyStatement("COPY (SELECT a FROM s.t WHERE a > 1) TO stdout;")).toBeNull();
});
