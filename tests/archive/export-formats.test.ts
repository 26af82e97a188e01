// Exports in all formats, judged by the stock tools: pg_restore 15, 17 and 18 list and print each alike, restore it
// (a directory with several jobs), and the databases are equal afterwards; the plain one is what pg_restore prints.

import { readdirSync, readFileSync, statSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { isFullMatrix, lostRace, RESTORE_ATTEMPTS_MAX, stockRestore, TestRepository } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { officialExceptions } from "../support/comparison-exceptions.ts";
import { loadDatabase } from "../support/databases.ts";
import { clientTools, runTool, server, type Major, type TestDatabase } from "../support/servers.ts";

describe.each(isFullMatrix ? ([15, 18] as const) : ([18] as const))("export of torture.sql on %i", (major) => {
  let repository: TestRepository;
  let source: TestDatabase;
  let id: string;

  beforeAll(async () => {
    repository = await TestRepository.create({ isEncrypted: false });
    source = await loadDatabase(await server(major), "torture");
    ({ id } = await repository.backup(source.uri, { lineage: "torture" }));
  });
  afterAll(async () => {
    await source[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  /** The tools that read what is exported of this major as it is. */
  const readers = ([15, 17, 18] as const).filter((tool) => tool >= (major === 15 ? 15 : 17));

  async function printed(tool: Major, file: string): Promise<string> {
    const { pgRestore } = await clientTools(tool);
    return await runTool(pgRestore, ["-f", "-", "--restrict-key=x", file]);
  }

  async function listed(tool: Major, file: string): Promise<string> {
    const { pgRestore } = await clientTools(tool);
    return (await runTool(pgRestore, ["--list", file])).replaceAll(/^; +(Format|Compression): .*\n/gm, "");
  }

  async function expectEqual(target: TestDatabase): Promise<void> {
    const exceptions = officialExceptions({ sourceMajor: major, targetMajor: major, toolsMajor: major });
    const comparison = await compareDatabases(source, target, { exceptions });
    expect(formatDifferences(comparison.differences)).toBe("");
    expect(comparison.counts.rows).toBeGreaterThan(100);
  }

  test("every format lists and prints alike with every pg_restore", async () => {
    const { file: custom } = await repository.export(id, "custom.dump");
    const forms: [string, string | null][] = [
      ["tar", null],
      ["directory", null],
    ];
    if (major === 18) forms.push(["directory", "lz4"]);
    for (const [format, compression] of forms) {
      const name = `${format}-${compression}`;
      const report = await repository.export(id, name, { format, compression });
      expect(report.format).toBe(format);
      expect(report.rowCount).toBeGreaterThan(107_000);
      for (const tool of readers) {
        expect(await listed(tool, report.file), `${name} ${tool}`).toBe(await listed(tool, custom));
      }
      // Without all of its text in a failure: it is 25 MB.
      expect((await printed(major, report.file)) === (await printed(major, custom)), name).toBe(true);
    }
  });

  test("plain SQL is what pg_restore 18 prints of the custom archive", async () => {
    const { file } = await repository.export(id, "plain.sql", { format: "plain", restrictKey: "x" });
    expect(readFileSync(file, "utf8") === (await printed(18, repository.file("custom.dump")))).toBe(true);
  });

  test("a directory restores with several jobs, and is for its owner's eyes only", async () => {
    const folder = repository.file("directory-null");
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(statSync(`${folder}/${name}`).mode & 0o777, name).toBe(0o600);
    for (let attempt = 1; ; attempt += 1) {
      await using target = await (await server(major)).createDatabase();
      const { status, errors } = await stockRestore(await clientTools(major), folder, target.uri, ["-j4"]);
      if (attempt < RESTORE_ATTEMPTS_MAX && lostRace(errors, 4, `directory of torture ${major}`)) continue;
      expect({ status, errors }).toEqual({ status: 0, errors: [] });
      await expectEqual(target);
      return;
    }
  });

  const onlyOn18 = major === 18 ? [18] : [];

  test.each(onlyOn18)("a tar archive of %i restores", async () => {
    await using target = await (await server(major)).createDatabase();
    const file = repository.file("tar-null");
    const { status, errors } = await stockRestore(await clientTools(major), file, target.uri);
    expect({ status, errors }).toEqual({ status: 0, errors: [] });
    await expectEqual(target);
  });

  test.each(onlyOn18)("a directory of %i converted to 1.14: pg_restore 15 prints the same rows", async () => {
    const settings = { format: "directory", archiveVersion: "1.14" };
    const report = await repository.export(id, "old.directory", settings);
    expect(report).toMatchObject({ compression: "gzip:6", archiveVersion: "1.14" });
    const rows = (text: string): string[] => text.match(/^COPY [\s\S]*?^\\\.$/gm) ?? [];
    const old = rows(await printed(15, report.file));
    expect(old.length).toBeGreaterThan(100);
    expect(old.join("") === rows(await printed(18, repository.file("custom.dump"))).join("")).toBe(true);
  });
});

test("a folder that holds anything is left alone; an archive is replaced when the new one is whole", async () => {
  await using repository = await TestRepository.create({ isEncrypted: false });
  await using source = await (await server(18)).createDatabase();
  await source.psql("CREATE TABLE a (id int); INSERT INTO a VALUES (1);");
  const { id } = await repository.backup(source.uri);
  const { mkdirSync, writeFileSync } = await import("node:fs");
  const folder = repository.file("own");
  mkdirSync(folder);
  const directory = { format: "directory" };
  await repository.export(id, "own", directory);
  await expect(repository.export(id, "own", directory)).rejects.toMatchObject({ code: "usage" });
  await repository.export(id, "own", { ...directory, overwrite: true, compression: "none" });
  expect(readdirSync(folder).some((name) => name.endsWith(".zst"))).toBe(false);
  const other = repository.file("other");
  mkdirSync(other);
  writeFileSync(`${other}/precious.txt`, "x");
  await expect(repository.export(id, "other", { ...directory, overwrite: true })).rejects.toThrow(/holds no archive/);
  expect(readdirSync(other)).toEqual(["precious.txt"]);
  await expect(repository.export(id, "tar.gz", { format: "tar", compression: "gzip" })).rejects.toThrow(
    /cannot be compressed/,
  );
  await expect(repository.export(id, "odd", { format: "odd" })).rejects.toThrow(/format "odd" is not known/);
  expect(readdirSync(repository.folder).filter((name) => name.startsWith("."))).toEqual([]);
});
