import { expect, test } from "vitest";

import { objectionToType } from "./plain-types.ts";

const own = { oid: 20_000, kind: "b", extensionName: null, isArray: false };

test.each([
  ["vector", "vector"],
  ["vector", "halfvec"],
  ["citext", "citext"],
  ["ltree", "lquery"],
])("objectionToType() knows extension %s's type %s", (extensionName, name) => {
  expect(objectionToType({ ...own, name, extensionName })).toBe(null);
  // Somebody's type of the same name, or another type in that extension, is not the one that is known.
  expect(objectionToType({ ...own, name })).toBe(`type ${name} is printed by a function that may change`);
  expect(objectionToType({ ...own, name: "mine", extensionName })).toContain(`type mine of extension ${extensionName}`);
});

test.each(["postgis", "isn", "constructor", "__proto__"])(
  "objectionToType() does not know extension %s",
  (extensionName) => {
    expect(objectionToType({ ...own, name: "geometry", extensionName })).toContain(
      "is not known to print the same text",
    );
  },
);

test.each(["regclass", "regrole", "regcollation", "aclitem", "money"])("objectionToType() objects to %s", (name) => {
  expect(objectionToType({ ...own, oid: 2205, name })).toBe(
    `the text of type ${name} depends on more than the stored value`,
  );
});

test("objectionToType() leaves what is made of other types to these", () => {
  for (const kind of ["e", "c", "d", "r", "m"]) expect(objectionToType({ ...own, kind, name: "made" })).toBe(null);
  expect(objectionToType({ ...own, name: "_made", isArray: true })).toBe(null);
  expect(objectionToType({ ...own, oid: 25, name: "text" })).toBe(null);
  expect(objectionToType({ ...own, oid: 2249, kind: "p", name: "record" })).toBe(
    "its columns reach the pseudo-type record",
  );
});
