import fc from "fast-check";
import { expect, test } from "vitest";
import { displayIdentifier, parseQualifiedName, quoteIdentifier, quoteLiteral, quoteQualifiedName } from "./quote.ts";
import { parseVersionNumber, parseVersionText } from "./server-version.ts";

test("quoteIdentifier() doubles quotes; displayIdentifier() leaves plain words", () => {
  expect(quoteIdentifier('a"b')).toBe('"a""b"');
  expect(quoteQualifiedName("s", "T")).toBe('"s"."T"');
  expect([displayIdentifier("abc_1"), displayIdentifier("Abc"), displayIdentifier("a b")]).toEqual([
    "abc_1",
    '"Abc"',
    '"a b"',
  ]);
});

test("quoteLiteral() doubles quotes and escapes backslashes", () => {
  expect([quoteLiteral("it's"), quoteLiteral("a\\b'c")]).toEqual(["'it''s'", "E'a\\\\b''c'"]);
});

test("parseQualifiedName() reads back what was quoted", () => {
  const name = fc.string({ minLength: 1 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 3 }), (parts) => {
      expect(parseQualifiedName(parts.map(quoteIdentifier).join("."))).toEqual(parts);
    }),
  );
  expect(parseQualifiedName(' Public."Odd.Name" ')).toEqual(["public", "Odd.Name"]);
});

test.each(["", ".", "a.", '"a', 'a"b"', '""', "a b"])("parseQualifiedName() rejects %j", (text) => {
  expect(() => parseQualifiedName(text)).toThrow("invalid name");
});

test.each<[string, number, number, number]>([
  ["18.6 (Debian 18.6-3)", 18, 6, 180_006],
  ["pg_dump (PostgreSQL) 17.5", 17, 5, 170_005],
  ["19devel", 19, 0, 190_000],
  ["16beta2", 16, 0, 160_000],
  ["pg_dump (PostgreSQL) 19~rc1 (Debian 19~rc1-1)", 19, 0, 190_000],
  ["9.6.24", 9, 6, 90_624],
])("parseVersionText() reads %s", (text, major, minor, number) => {
  expect(parseVersionText(text)).toEqual({ major, minor, number });
});

test("parseVersionNumber() reads server_version_num and rejects nonsense", () => {
  expect(parseVersionNumber("150020")).toEqual({ major: 15, minor: 20, number: 150_020 });
  expect(() => parseVersionNumber("x")).toThrow("no PostgreSQL version");
  expect(() => parseVersionText("unknown")).toThrow("no PostgreSQL version");
});
