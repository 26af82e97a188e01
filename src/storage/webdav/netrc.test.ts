import { expect, test } from "vitest";
import { loginOf } from "./netrc.ts";

const TEXT = `
machine one.example login kim password p1
machine two.example
  password "p \\"2\\\\" account x
  login "kim two"
macdef init
machine evil.example login x password y

machine three.example login ann
default login anybody password p0
`;

test.each([
  ["one.example", { user: "kim", password: "p1" }],
  ["two.example", { user: "kim two", password: 'p "2\\' }],
  ["three.example", { user: "ann", password: "" }],
  ["evil.example", { user: "anybody", password: "p0" }],
])("loginOf() %s", (host, login) => expect(loginOf(TEXT, host)).toEqual(login));

test("loginOf() is null where nothing fits", () => {
  expect(loginOf("", "x")).toBe(null);
  expect(loginOf("machine x password y", "x")).toBe(null);
  expect(loginOf("machine", "x")).toBe(null);
});
