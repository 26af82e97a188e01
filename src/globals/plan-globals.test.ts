import { describe, expect, test } from "vitest";

import { globals, membership, role } from "./globals.fixture.ts";
import type { Globals, GlobalTablespace } from "./globals.ts";
import { planGlobals, type GlobalsPlan } from "./plan-globals.ts";

function plan(source: Globals, target: Globals, options: Partial<Parameters<typeof planGlobals>[2]> = {}): GlobalsPlan {
  return planGlobals(source, target, { isSuperuser: true, tablespaceMapping: {}, ...options });
}

function statementsOf({ steps }: GlobalsPlan): string[] {
  return steps.flatMap(({ statements }) => statements);
}

const app = role('app "x"', {
  canLogIn: true,
  password: "SCRAM-SHA-256$hash",
  settings: [["search_path", 'a, "b c"']],
});

describe("planGlobals()", () => {
  test("makes what is missing, names always quoted, only what is not so by itself", () => {
    const source = globals({
      roles: [role("postgres"), app, role("group")],
      memberships: [membership("group", app.name)],
    });
    expect(statementsOf(plan(source, globals({ roles: [role("postgres")] })))).toEqual([
      `CREATE ROLE "app ""x""" WITH LOGIN PASSWORD 'SCRAM-SHA-256$hash'`,
      'CREATE ROLE "group"',
      `ALTER ROLE "app ""x""" SET "search_path" TO 'a', 'b c'`,
      `GRANT "group" TO "app ""x""" WITH INHERIT TRUE GRANTED BY "postgres"`,
    ]);
  });

  test("keeps a role that is there, and names what differs without values", () => {
    const there = {
      ...app,
      canLogIn: false,
      password: "SCRAM-SHA-256$other",
      settings: [["work_mem", "1MB"]] as const,
    };
    const result = plan(globals({ roles: [app] }), globals({ roles: [there] }));
    expect(result.steps).toEqual([]);
    expect(result.differences).toEqual([
      'role "app "x"" is there already and is kept as it is; different there: LOGIN, PASSWORD, setting search_path, setting work_mem',
    ]);
    const unreadable = plan(
      globals({ roles: [app] }),
      globals({ roles: [{ ...app, password: null }], passwords: "not readable" }),
    );
    expect(unreadable.differences).toEqual([]);
  });

  test.each([
    ["left out", "2 roles that may log in are made without a password: they were left out of the backup"],
    ["not readable", "2 roles that may log in are made without a password: the backup could not read them"],
    ["carried", null],
  ] as const)("tells of roles without passwords when those are %s", (passwords, told) => {
    const logins = ["a", "b", "there"].map((name) => role(name, { canLogIn: true }));
    const source = globals({ roles: [...logins, role("group")], passwords });
    const result = plan(source, globals({ roles: [role("there", { canLogIn: true })] }));
    expect(result.adaptations).toEqual(told === null ? [] : [told]);
  });

  test("does not grant memberships among roles that were there", () => {
    const roles = [role("a"), role("b")];
    const source = globals({ roles: [...roles, role("c")], memberships: [membership("a", "b"), membership("a", "c")] });
    const result = plan(source, globals({ roles }));
    expect(statementsOf(result)).toEqual([
      'CREATE ROLE "c"',
      'GRANT "a" TO "c" WITH INHERIT TRUE GRANTED BY "postgres"',
    ]);
    expect(result.differences).toEqual(['membership of "b" in "a" is not there, and both roles are kept as they are']);
  });

  test.each([
    ["none of them", {}, {}, null],
    ["its options", { hasAdminOption: true, inherits: false, mayBeSet: false }, {}, "ADMIN OPTION, INHERIT, SET"],
    ["one option", {}, { hasAdminOption: true }, "ADMIN OPTION"],
    ["who granted it", { grantor: "c" }, { grantor: "d" }, "grantor"],
  ] as const)("tells of a membership of two roles that were there what is otherwise: %s", (_, more, there, told) => {
    const roles = [role("a"), role("b"), role("c")];
    const granting = membership("a", "c", { hasAdminOption: true });
    const source = globals({ roles, memberships: [granting, membership("a", "b", more)] });
    const result = plan(source, globals({ roles, memberships: [granting, membership("a", "b", there)] }));
    expect(result.steps).toEqual([]);
    const text = `membership of "b" in "a" is there already and is kept as it is; different there: ${told}`;
    expect(result.differences).toEqual(told === null ? [] : [text]);
  });

  test("compares a membership with the one of the same grantor", () => {
    const roles = [role("a"), role("b"), role("c")];
    const granting = membership("a", "c", { hasAdminOption: true });
    const own = membership("a", "b", { grantor: "c", hasAdminOption: true });
    const other = membership("a", "b");
    const source = globals({ roles, memberships: [granting, other, own] });
    expect(plan(source, globals({ roles, memberships: [own, other, granting] })).differences).toEqual([]);
    const weaker = { ...own, hasAdminOption: false };
    const asOther = { ...other, hasAdminOption: true };
    expect(plan(source, globals({ roles, memberships: [weaker, asOther, granting] })).differences).toEqual([
      'membership of "b" in "a" granted by "postgres" is there already and is kept as it is; different there: ADMIN OPTION',
      'membership of "b" in "a" granted by "c" is there already and is kept as it is; different there: ADMIN OPTION',
    ]);
  });

  test("compares memberships of before 16 with what a grant would make of them", () => {
    const old = { grantor: "gone", inherits: null, mayBeSet: null };
    const roles = [role("a"), role("b"), role("still", { inherits: false })];
    const memberships = [membership("a", "b", old), membership("a", "still", old)];
    const source = globals({ serverVersionNum: 150_010, roles, memberships });
    const newer = (inherits: boolean): Globals =>
      globals({ roles, memberships: [membership("a", "b"), membership("a", "still", { inherits })] });
    expect(plan(source, newer(false)).differences).toEqual([]);
    expect(plan(source, newer(true)).differences).toEqual([
      'membership of "still" in "a" is there already and is kept as it is; different there: INHERIT',
    ]);
    const older = globals({ serverVersionNum: 140_010, roles, memberships: [{ ...memberships[0]!, grantor: "b" }] });
    expect(plan(source, older).differences).toEqual([
      'membership of "b" in "a" is there already and is kept as it is; different there: grantor',
      'membership of "still" in "a" is not there, and both roles are kept as they are',
    ]);
  });

  test("grants in an order in which each grantor has the right", () => {
    const source = globals({
      roles: [role("g"), role("a"), role("b")],
      memberships: [membership("g", "a", { grantor: "b" }), membership("g", "b", { hasAdminOption: true })],
    });
    expect(statementsOf(plan(source, globals())).slice(3)).toEqual([
      'GRANT "g" TO "b" WITH ADMIN OPTION, INHERIT TRUE GRANTED BY "postgres"',
      'GRANT "g" TO "a" WITH INHERIT TRUE GRANTED BY "b"',
    ]);
    const circle = [
      membership("g", "a", { grantor: "b", hasAdminOption: true }),
      membership("g", "b", { grantor: "a", hasAdminOption: true }),
    ];
    expect(() => plan(globals({ memberships: circle }), globals())).toThrow("cannot be granted in any order");
  });

  test("grants as the target's own first role; a role that is no superuser grants in its own name", () => {
    const source = globals({ roles: [role("g"), role("a")], memberships: [membership("g", "a")] });
    const admin = globals({ bootstrapRole: "admin", roles: [role("admin")] });
    expect(statementsOf(plan(source, admin)).at(-1)).toBe('GRANT "g" TO "a" WITH INHERIT TRUE GRANTED BY "admin"');
    const weak = plan(source, admin, { isSuperuser: false });
    expect(statementsOf(weak).at(-1)).toBe('GRANT "g" TO "a" WITH INHERIT TRUE');
  });

  test("adapts memberships and parameters to an older target, and tells what is lost", () => {
    const acl = { items: [], defaults: [] };
    const source = globals({
      roles: [role("g"), role("a"), role("b")],
      memberships: [membership("g", "a"), membership("g", "b", { mayBeSet: false })],
      parameters: [{ name: "work_mem", acl }],
    });
    const result = plan(source, globals({ serverVersionNum: 140_010 }));
    expect(statementsOf(result).slice(3)).toEqual([
      'GRANT "g" TO "a" GRANTED BY "postgres"',
      'GRANT "g" TO "b" GRANTED BY "postgres"',
    ]);
    expect(result.adaptations).toEqual([
      'membership of "b" in "g": INHERIT and SET options are left out, the target has none',
      "privileges on parameter work_mem: left out, the target has none",
    ]);
  });

  test("leaves grantors of before 16 to a newer target", () => {
    const old = { grantor: "gone", inherits: null, mayBeSet: null };
    const source = globals({
      serverVersionNum: 150_010,
      roles: [role("g"), role("a")],
      memberships: [membership("g", "a", old)],
    });
    expect(statementsOf(plan(source, globals())).at(-1)).toBe('GRANT "g" TO "a"');
    expect(statementsOf(plan(source, globals({ serverVersionNum: 140_000 }))).at(-1)).toBe(
      'GRANT "g" TO "a" GRANTED BY "gone"',
    );
  });

  test("puts tablespaces where the mapping says, keeps those that are there", () => {
    const space: GlobalTablespace = {
      name: "fast",
      owner: "postgres",
      location: "/old",
      options: ["seq_page_cost=1.5"],
      acl: null,
      comment: null,
      securityLabels: [],
    };
    const source = globals({ tablespaces: [space] });
    expect(statementsOf(plan(source, globals(), { tablespaceMapping: { "/old": "/new" } }))).toEqual([
      `CREATE TABLESPACE "fast" OWNER "postgres" LOCATION '/new'`,
      'ALTER TABLESPACE "fast" SET (seq_page_cost=1.5)',
    ]);
    const kept = plan(source, globals({ tablespaces: [{ ...space, location: "/there" }] }));
    expect(kept).toMatchObject({ steps: [], differences: [expect.stringContaining("different there: location")] });
  });
});
