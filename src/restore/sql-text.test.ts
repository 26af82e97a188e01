import fc from "fast-check";
import { expect, test } from "vitest";
import { endOfLastStatement } from "./load-statements.ts";
import { firstBracketed, qualifiedName, readQualifiedName, splitTopLevel } from "./sql-text.ts";

test("splitTopLevel() splits outside of quotes, comments and brackets only", () => {
  expect(splitTopLevel(`a, 'b,''c', "d,e", f(1, 2), E'\\',', $x$ , $x$`, ",")).toEqual([
    "a",
    " 'b,''c'",
    ' "d,e"',
    " f(1, 2)",
    " E'\\','",
    " $x$ , $x$",
  ]);
  expect(splitTopLevel("a -- x;y\n; /* ; /* ; */ ; */ b; c", ";")).toEqual([
    "a -- x;y\n",
    " /* ; /* ; */ ; */ b",
    " c",
  ]);
  expect(splitTopLevel(String.raw`'a\';b'; c`, ";", { standardStrings: false })).toEqual([String.raw`'a\';b'`, " c"]);
});

test("splitTopLevel() loses nothing of any text", () => {
  const pieces = fc.constantFrom("'", '"', "$", "$a$", ";", "(", ")", "--", "\n", "/*", "*/", "\\", "E", "x", "é");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      const text = parts.join("");
      expect(splitTopLevel(text, ";").join(";")).toBe(text);
      expect(endOfLastStatement(text, { standardStrings: true })).toBeLessThanOrEqual(text.length);
    }),
  );
});

test("readQualifiedName() reads back what qualifiedName() writes", () => {
  const name = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(name, name, (schema, table) => {
      const text = `COPY ${qualifiedName(schema, table)} (a) FROM stdin;`;
      expect(readQualifiedName(text, 5)?.parts).toEqual([schema, table]);
    }),
  );
  expect(readQualifiedName("ONLY(x)", 4)).toBeNull();
});

test("firstBracketed() finds the outer pair", () => {
  const sql = `CREATE TABLE "x(" (a int DEFAULT f(')'), b text)`;
  const found = firstBracketed(sql);
  expect(sql.slice(found?.start, found?.end)).toBe("a int DEFAULT f(')'), b text");
  expect(firstBracketed("no (end")).toBeNull();
});

test("endOfLastStatement() ignores semicolons in values", () => {
  const sql = "INSERT INTO t VALUES ('a;b');\nINSERT INTO t VALUES (';";
  expect(endOfLastStatement(sql, { standardStrings: true })).toBe(sql.indexOf("\n"));
});
