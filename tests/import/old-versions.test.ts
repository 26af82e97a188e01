// Archives of the versions that pg_dump 9.2 to 11 wrote. No such pg_dump is at hand: these are archives of pg_dump 15 whose
// head and table of contents are written again in the old version, the data left as it was. pg_restore 18, which still reads
// them, is the judge. What old pg_dumps wrote otherwise (their SQL, their quirks) is not tested by this.

import { cpSync, readFileSync, writeFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { CustomArchiveReader, encodeHeadAndToc, memorySource, readToc, type Toc } from "../../src/archive/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { clientTools, runTool } from "../support/servers.ts";
import { fixture, importFile, listOf, listOfFile } from "./support.ts";

/** The table of contents in an old version; before March 2018 there was no SEARCHPATH entry. */
function aged(toc: Toc, version: "1.12" | "1.13", hasSearchPath: boolean): Toc {
  const entries = toc.entries.filter(({ description }) => hasSearchPath || description !== "SEARCHPATH");
  const pgDumpVersion = version === "1.12" ? "9.6.6" : "11.22";
  return { ...toc, entries, header: { ...toc.header, version, pgDumpVersion, serverVersion: pgDumpVersion } };
}

const VERSIONS = [
  ["1.12", false],
  ["1.12", true],
  ["1.13", true],
] as const;

describe.each(VERSIONS)("an archive of version %s, search path %s", (version, hasSearchPath) => {
  async function expectSame(repository: TestRepository, file: string): Promise<void> {
    const { pgRestore } = await clientTools(18);
    const list = await runTool(pgRestore, ["--list", file]);
    expect(list).toContain(`Dump Version: ${version}-0`);
    expect(await listOfFile(repository, file)).toBe(list);
    const { id, pgDumpVersion } = await importFile(repository, file);
    expect(pgDumpVersion).toBe(version === "1.12" ? "9.6.6" : "11.22");
    expect((await listOf(repository, id)).replace(/^; +Format: .*$/m, "")).toBe(
      list.replace(/^; +Format: .*$/m, "").replace(`Dump Version: ${version}-0`, "Dump Version: 1.14-0"),
    );
    const { file: plain } = await repository.export(id, `plain-${id}.sql`, { format: "plain", restrictKey: "x" });
    expect(readFileSync(plain, "utf8")).toBe(await runTool(pgRestore, ["-f", "-", "--restrict-key=x", file]));
  }

  test("custom: imports, lists and prints as pg_restore does", async () => {
    await using repository = await TestRepository.create({ isEncrypted: false });
    const bytes = fixture("small-15.dump");
    const { toc, dataStartOffset } = await readToc(bytes);
    const old = encodeHeadAndToc(aged(toc, version, hasSearchPath), { offsets: "not-set" }).bytes;
    const file = repository.file("old.dump");
    writeFileSync(file, Buffer.concat([old, bytes.subarray(dataStartOffset)]));
    expect((await CustomArchiveReader.open(memorySource(readFileSync(file)))).toc.header.version).toBe(version);
    await expectSame(repository, file);
  });

  test("directory: imports, lists and prints as pg_restore does", async () => {
    await using repository = await TestRepository.create({ isEncrypted: false });
    const folder = repository.file("old.directory");
    cpSync(new URL("../archive/fixtures/small-15.directory", import.meta.url), folder, { recursive: true });
    const { toc } = await readToc(readFileSync(`${folder}/toc.dat`), { format: "directory" });
    writeFileSync(`${folder}/toc.dat`, encodeHeadAndToc(aged(toc, version, hasSearchPath)).bytes);
    await expectSame(repository, folder);
  });
});

test("1.11, of pg_dump 8.4, is refused by its version", async () => {
  await using repository = await TestRepository.create({ isEncrypted: false });
  const bytes = fixture("small-15.dump");
  bytes[6] = 11;
  const file = repository.file("older.dump");
  writeFileSync(file, bytes);
  await expect(importFile(repository, file)).rejects.toThrow(
    "archive version 1.11-0 is not supported; 1.12 to 1.16 are",
  );
});
