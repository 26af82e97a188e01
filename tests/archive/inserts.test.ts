// Archives of pg_dump --inserts, cut short: their rows are SQL, which ends with two empty lines in all versions.

import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { MemberArchiveReader } from "../../src/archive/member-archive-reader.ts";
import { runTool, server } from "../support/servers.ts";
import { filesOf, memoryMembers, rowsOf } from "./fixtures.ts";

const TABLES = `
  CREATE TABLE plain AS SELECT n AS id, E'x;\\n\\n\\ny' AS text FROM generate_series(1, 4) AS n;
  CREATE TABLE empty (id int);
  CREATE TABLE no_columns ();
  INSERT INTO no_columns DEFAULT VALUES;
  INSERT INTO no_columns DEFAULT VALUES;
  CREATE TABLE generated (id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (7) STORED);
  INSERT INTO generated DEFAULT VALUES;
  CREATE TABLE parts (id int) PARTITION BY LIST (id);
  CREATE TABLE part PARTITION OF parts DEFAULT;
  INSERT INTO parts VALUES (1);`;

const FLAGS = [
  ["--inserts"],
  ["--column-inserts", "--on-conflict-do-nothing"],
  ["--rows-per-insert=3"],
  ["--rows-per-insert=2", "--load-via-partition-root"],
];

test.each([13, 18] as const)("rows as INSERT statements of pg_dump %i are read whole, or refused", async (major) => {
  const { pgDump } = (await server(major)).tools;
  await using database = await (await server(major)).createDatabase();
  await database.psql(TABLES);
  for (const flags of FLAGS) {
    const folder = join(tmpdir(), `inserts-${randomBytes(6).toString("hex")}`);
    try {
      await runTool(pgDump, ["-Fd", "-Z0", "-f", folder, ...flags, database.uri]);
      await expectRefusedWhenCut(filesOf(folder));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
});

async function expectRefusedWhenCut(files: ReadonlyMap<string, Buffer>): Promise<void> {
  const { toc } = await MemberArchiveReader.open(memoryMembers(files), "directory");
  const entries = toc.entries.filter(({ description }) => description === "TABLE DATA");
  expect(entries.length).toBe(5);
  for (const entry of entries) {
    const name = `${entry.dumpId}.dat`;
    const bytes = files.get(name) ?? Buffer.of();
    for (let length = 0; length <= bytes.length; length += 1) {
      const cut = new Map([...files, [name, bytes.subarray(0, length)] as const]);
      const reader = await MemberArchiveReader.open(memoryMembers(cut), "directory");
      // A text with such lines in it is the one place where a cut is not seen.
      const isUnseen = bytes.subarray(0, length).toString().endsWith("x;\n\n\n");
      const isWhole = length === bytes.length || isUnseen;
      const read = rowsOf(reader, entry);
      if (isWhole) await expect(read).resolves.toBe(bytes.subarray(0, length).toString());
      else await expect(read, `${entry.tag} ${length}`).rejects.toMatchObject({ code: "corrupt" });
    }
  }
}
