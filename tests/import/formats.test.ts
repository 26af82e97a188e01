// Archives of stock pg_dump 15, 17 and 18 in all formats: imported, listed as pg_restore lists them, restored equal; and
// restored straight from the file.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { TestRepository } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { officialExceptions } from "../support/comparison-exceptions.ts";
import { loadDatabase } from "../support/databases.ts";
import { clientTools, runTool, server, type ClientTools, type Major, type TestDatabase } from "../support/servers.ts";
import { dumpTo, importFile, listOf, listOfFile, withoutForm } from "./support.ts";

const FORMS: readonly (readonly [name: string, flags: readonly string[], majors: readonly Major[]])[] = [
  ["custom", ["-Fc"], [15]],
  ["directory", ["-Fd"], [15]],
  ["directory-none", ["-Fd", "-Z0"], [18]],
  ["tar", ["-Ft"], [15, 17, 18]],
  ["directory-lz4", ["-Fd", "-Z", "lz4"], [17]],
  ["custom-zstd", ["-Fc", "-Z", "zstd"], [17]],
  ["directory-zstd", ["-Fd", "-Z", "zstd"], [18]],
  ["custom-lz4", ["-Fc", "-Z", "lz4"], [18]],
];

/** Which form of a major's archives is restored from the repository, and which straight from its file. */
const RESTORED = {
  15: { imported: ["tar"], direct: [] },
  17: { imported: [], direct: ["directory-lz4"] },
  18: { imported: [], direct: ["tar"] },
} as const;

describe.each([15, 17, 18] as const)("archives of torture.sql by pg_dump %i", (major) => {
  let repository: TestRepository;
  let tools: ClientTools;
  let source: TestDatabase;

  beforeAll(async () => {
    [repository, tools] = await Promise.all([TestRepository.create({ isEncrypted: false }), clientTools(major)]);
    source = await loadDatabase(await server(major), "torture");
  });
  afterAll(async () => {
    await source[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  async function expectEqual(target: TestDatabase): Promise<void> {
    const exceptions = officialExceptions({ sourceMajor: major, targetMajor: major, toolsMajor: major });
    const sides = [source, target].map(({ name, server: own }) => ({ name, server: own }));
    const comparison = await compareDatabases(sides[0]!, sides[1]!, { exceptions, tools });
    expect(formatDifferences(comparison.differences)).toBe("");
    expect(comparison.counts.rows).toBeGreaterThan(100);
    expect(comparison.counts["large object"]).toBeGreaterThan(10);
  }

  const forms = FORMS.filter(([, , majors]) => majors.includes(major));
  test("import, list as pg_restore lists them, and share what is equal", async () => {
    const { pgRestore } = await clientTools(18);
    let parentId: string | null = null;
    for (const [name, flags] of forms) {
      const file = await dumpTo(source, tools, { file: repository.file(name), flags });
      const list = await runTool(pgRestore, ["--list", file]);
      expect(await listOfFile(repository, file), name).toBe(list);
      const receipt = await importFile(repository, file, { lineage: "torture", tags: { form: name } });
      expect(receipt).toMatchObject({ parentId, isQuarantined: false, largeObjectCount: 23 });
      expect(withoutForm(await listOf(repository, receipt.id)), name).toBe(withoutForm(list));
      // Whatever the format, the rows are the same: only the first import stores them.
      if (parentId === null) expect(receipt.newBytes).toBeGreaterThan(2 ** 20);
      else expect(receipt.newBytes, name).toBeLessThan(64 * 1024);
      parentId = receipt.id;
    }
    const { restorePoints } = await repository.list("torture");
    expect(restorePoints.length).toBe(forms.length);
    expect(new Set(restorePoints.map(({ rowCount }) => rowCount)).size).toBe(1);
    expect(await repository.verify(parentId ?? "")).toMatchObject({ isIntact: true });
  });

  const { imported, direct } = RESTORED[major];
  test.each(imported)("restores equal from the repository, where %s was imported", async (name) => {
    const receipt = await importFile(repository, repository.file(name), { lineage: name });
    await using target = await (await server(major)).createDatabase();
    const report = await repository.restore(receipt.id, target.uri, { options: { jobs: 4 } });
    expect(report).toMatchObject({ isComplete: true, entriesFailed: [], largeObjectCount: 23 });
    await expectEqual(target);
  });

  test.each(direct)("restores equal straight from the %s archive", async (name) => {
    await using target = await (await server(major)).createDatabase();
    const file = repository.file(name);
    const report = await repository.restore("", target.uri, { repository: null, file, options: { jobs: 4 } });
    expect(report).toMatchObject({
      isComplete: true,
      entriesFailed: [],
      largeObjectCount: 23,
      file,
      restorePointId: null,
    });
    expect(report.bytesRead).toBeGreaterThan(2 ** 20);
    await expectEqual(target);
  });
});

test("rows that the target drops while a file is restored are missed, and taken back", async () => {
  await using repository = await TestRepository.create({ isEncrypted: false });
  const pg = await server(18);
  await using source = await pg.createDatabase();
  await source.psql("CREATE TABLE a (id int); INSERT INTO a SELECT generate_series(1, 10);");
  const file = await dumpTo(source, await clientTools(18), { file: repository.file("ten.dump"), flags: ["-Fc"] });
  await source.psql(
    "TRUNCATE a; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW; END';" +
      "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();",
  );
  const settings = { repository: null, file, options: { dataOnly: true }, allowsNonEmptyTarget: true };
  const report = await repository.restore("", source.uri, settings);
  expect(report.isComplete).toBe(false);
  expect(report.entriesFailed.map(({ tag, error }) => `${tag}: ${error}`).join()).toMatch(
    /public\.a: table has 9 rows after loading, not 10/,
  );
  expect(await source.psql("SELECT count(*) FROM a")).toBe("0");
});

test("one table of a tar archive goes into a scratch database", async () => {
  await using repository = await TestRepository.create({ isEncrypted: false });
  const pg = await server(18);
  await using source = await pg.createDatabase();
  await source.psql(
    "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (x text); INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES ('no');",
  );
  const file = await dumpTo(source, await clientTools(18), { file: repository.file("two.tar"), flags: ["-Ft"] });
  const report = await repository.restore("", source.uri, {
    repository: null,
    file,
    options: { tables: ["a"] },
    mode: { kind: "scratch", name: null },
  });
  try {
    expect(report).toMatchObject({ isComplete: true, isScratch: true, rowCount: 2 });
    expect(report.database).toMatch(/^scratch_a_two_tar/);
    expect(await pg.psql(report.database, "SELECT count(*) FROM a")).toBe("2");
    expect(await pg.psql(report.database, "SELECT to_regclass('b') IS NULL")).toBe("t");
  } finally {
    await pg.dropDatabase(report.database);
  }
});
