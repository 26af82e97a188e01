// The globals as we read and write them, held against the stock pg_dumpall on every major.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { globalsText } from "../../src/globals/index.ts";
import { MAJORS, server, type TestServer } from "../support/servers.ts";
import { dropScript, globalsScript, makeFolders, ODD_ROLES, ownGlobals, stockGlobals } from "./support.ts";

const ATTEMPTS_MAX = 20;

describe.each(MAJORS)("PostgreSQL %i", (major) => {
  let pg: TestServer;

  beforeAll(async () => {
    pg = await server(major);
    await pg.psql("postgres", globalsScript(major, await makeFolders(pg, 3)));
  });

  afterAll(() => pg.psql("postgres", `SET allow_system_table_mods = on; ${dropScript(major)}`));

  /** Other tests make and drop roles meanwhile: what is compared must have stood still. */
  async function bothTexts(
    flags: readonly string[],
    options: { user?: string; withPasswords?: boolean },
  ): Promise<{ own: string; stock: string }> {
    const { user = "postgres", withPasswords = true } = options;
    const read = async (): Promise<string> => {
      return globalsText(await ownGlobals(pg.uri("postgres", { user }), { withPasswords }), { restrictKey: "x" });
    };
    for (let attempt = 1; ; attempt += 1) {
      const own = await read();
      const stock = await stockGlobals(pg, flags, user);
      if ((await read()) === own) return { own, stock };
      expect(attempt, "the server's roles never stood still").toBeLessThan(ATTEMPTS_MAX);
    }
  }

  test("globalsText() is what pg_dumpall --globals-only writes", async () => {
    const { own, stock } = await bothTexts([], {});
    expect(own).toBe(stock);
    expect(own).toContain(`PASSWORD '${major === 13 ? "md5" : "SCRAM-SHA-256$"}`);
    expect(own).toContain('\nCREATE TABLESPACE "all" OWNER postgres LOCATION E\'/');
    expect(own.includes("ON PARAMETER work_mem")).toBe(major >= 15);
    expect(own.includes("SET FALSE")).toBe(major >= 16);
  });

  test("globalsText() without passwords is what --no-role-passwords gives", async () => {
    const { own, stock } = await bothTexts(["--no-role-passwords"], { withPasswords: false });
    expect(own).toBe(stock);
    expect(own).not.toContain(" PASSWORD ");
  });

  test("readGlobals() by who may not read pg_authid gives all but passwords", async () => {
    const { own, stock } = await bothTexts(["--no-role-passwords"], { user: ODD_ROLES.accent });
    expect(own).toBe(stock);
    expect((await ownGlobals(pg.uri("postgres", { user: ODD_ROLES.accent }))).passwords).toBe("not readable");
  });
});
