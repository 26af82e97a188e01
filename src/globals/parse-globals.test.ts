import { expect, test } from "vitest";

import { globals, membership, role } from "./globals.fixture.ts";
import { parseGlobals } from "./parse-globals.ts";

const whole = globals({
  roles: [role("a", { securityLabels: [{ provider: "p", label: "l" }], settings: [["work_mem", "1MB"]] })],
  memberships: [membership("a", "b")],
  parameters: [
    {
      name: "work_mem",
      acl: {
        items: [{ grantee: null, grantor: "a", privileges: [{ name: "SET", isGrantable: false }] }],
        defaults: [],
      },
    },
  ],
  tablespaces: [
    {
      name: "t",
      owner: "a",
      location: "/t",
      options: ["seq_page_cost=1.5"],
      acl: null,
      comment: null,
      securityLabels: [],
    },
  ],
});

function reread(change: (json: string) => string): unknown {
  const json = change(JSON.stringify(whole));
  expect(json).not.toBe("");
  return parseGlobals(JSON.parse(json));
}

test("parseGlobals() gives what was written", () => {
  expect(reread((json) => json)).toEqual(whole);
});

test.each([
  ["UTF8", "UTF8'; DROP ROLE x; --"],
  ["seq_page_cost=1.5", "seq_page_cost=1); DROP ROLE x; --"],
  ['"connectionLimit":-1', '"connectionLimit":"1 SUPERUSER"'],
  ['"SET"', '"SET ON PARAMETER x TO PUBLIC; DROP ROLE x; --"'],
  ['"isSuperuser":false', '"isSuperuser":"no"'],
  ['"grantor":"postgres"', '"grantor":7'],
  ['"name":"a"', '"name":"a\\u0000"'],
  ['["work_mem","1MB"]', '["work_mem"]'],
  ['"memberships":[', '"memberships":{},"_":['],
  ['"owner":"a",', ""],
])("parseGlobals() refuses %s as %s", (text, instead) => {
  expect(JSON.stringify(whole)).toContain(text);
  expect(reread((json) => json.replace(text, instead))).toBeNull();
});

test.each([null, 7, "x", [], {}])("parseGlobals() refuses %j", (json) => {
  expect(parseGlobals(json)).toBeNull();
});

test.each([
  "SJIS",
  "SHIFT_JIS_2004",
  "BIG5",
  "GBK",
  "UHC",
  "GB18030",
  "JOHAB",
  "sjis",
  "Shift_JIS",
  "MSKANJI",
  "WIN949",
])("parseGlobals() refuses the encoding %s, which clients only have", (name) => {
  expect(reread((json) => json.replace("UTF8", name))).toBeNull();
});

test.each(["SQL_ASCII", "EUC_JIS_2004", "LATIN1", "LATIN10", "WIN1252", "KOI8U", "ISO_8859_8", "MULE_INTERNAL"])(
  "parseGlobals() takes the encoding %s",
  (name) => {
    expect(reread((json) => json.replace("UTF8", name))).not.toBeNull();
  },
);
