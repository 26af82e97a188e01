// Servers of the November 2026 releases stamp every column that they make with the option pg_attver, which is no option
// that can be set: nothing of it may get into an archive, or an older pg_restore or another server fails on it.

import { readFile } from "node:fs/promises";

import { expect, test } from "vitest";

import { readToc } from "../../src/archive/index.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { clientTools, server } from "../support/servers.ts";
import { stockRestore, TestRepository } from "./support.ts";

const tables = `
  CREATE TABLE plain (id int PRIMARY KEY, word text);
  INSERT INTO plain VALUES (1, 'one'), (2, 'two');
  ALTER TABLE plain ALTER COLUMN id TYPE bigint;
  CREATE TABLE tuned (id int, word text);
  ALTER TABLE tuned ALTER COLUMN word SET (n_distinct = 7), ALTER COLUMN id SET (n_distinct = -0.5, n_distinct_inherited = -1);
  CREATE TABLE hostile ("pg_attver=1" text DEFAULT 'SET (pg_attver=7)');
  INSERT INTO hostile VALUES (DEFAULT);`;

const countMarks = "SELECT count(*) FROM pg_attribute WHERE attoptions::text LIKE '%pg_attver=%' AND attnum > 0";
const optionsOfTuned = `SELECT attname, option FROM pg_attribute, unnest(attoptions) AS option
  WHERE attrelid = 'tuned'::regclass AND option NOT LIKE 'pg_attver=%' ORDER BY 1, 2`;

/** The definitions that would set the option; the hostile table's own texts hold its name and are none. */
const settingIt = /SET \([^()']*pg_attver=\d+[^()']*\)(?!')/;

test.each([
  { major: 15, pgDumps: [15, 17, 18, "bundled"] },
  { major: 17, pgDumps: [17, 18, "bundled"] },
] as const)(
  "backup of a server $major that marks columns with pg_attver leaves the mark out",
  async ({ major, pgDumps }) => {
    const pg = await server(major);
    await using repository = await TestRepository.create();
    await using source = await pg.createDatabase();
    await source.psql(tables);
    expect(Number(await source.psql(countMarks))).toBeGreaterThan(0);
    for (const pgDump of pgDumps) {
      const program = pgDump === "bundled" ? pgDump : (await clientTools(pgDump)).pgDump;
      const receipt = await repository.backup(source.uri, { pgDump: program, lineage: `${major} ${pgDump}` });
      const { file } = await repository.export(receipt.id, `${major}-${pgDump}`, { archiveVersion: "1.14" });
      const { toc } = await readToc(await readFile(file));
      expect(toc.entries.filter(({ definition }) => settingIt.test(definition)).map(({ tag }) => tag)).toEqual([]);
      expect(toc.entries.filter(({ definition }) => definition.includes("n_distinct")).length).toBe(1);

      await using copy = await pg.createDatabase();
      const report = await repository.restore(receipt.id, copy.uri);
      expect(report.entriesFailed).toEqual([]);
      expect(report.adaptations).toEqual([]);
      await using stock = await pg.createDatabase();
      expect((await stockRestore(await clientTools(15), file, stock.uri)).errors).toEqual([]);
      for (const restored of [copy, stock]) {
        expect(formatDifferences((await compareDatabases(source, restored)).differences)).toBe("");
        expect(await restored.psql(optionsOfTuned)).toBe(
          "id|n_distinct=-0.5\nid|n_distinct_inherited=-1\nword|n_distinct=7",
        );
        expect(await restored.psql("SELECT * FROM hostile")).toBe("SET (pg_attver=7)");
      }
    }
  },
);
