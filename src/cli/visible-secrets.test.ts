import { expect, test } from "vitest";
import { secretsInWords } from "./visible-secrets.ts";

test.each([
  ["postgresql://me:pass@host/db", true],
  ["postgres://me:p%40ss@host", true],
  ["host=h password=x", true],
  ["postgresql://host/db?sslmode=require&password=x", true],
  ["postgresql://me@host:5432/db", false],
  ["postgresql://host/db?passfile=/p", false],
  ["password", false],
])("secretsInWords() of %s: %s", (word, isWarned) => {
  expect(secretsInWords({ arguments: [word], flags: [] }).length).toBe(isWarned ? 1 : 0);
  expect(secretsInWords({ arguments: [], flags: [{ name: "to", value: word }] }).length).toBe(isWarned ? 1 : 0);
});
