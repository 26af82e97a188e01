// Both directions with the stock tools of 15, 17 and 18: their archives read here, ours read by them. What stock
// pg_restore prints of an archive (definitions and every row) is compared with what it prints of the original.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createZstdDecompress } from "node:zlib";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  CustomArchiveReader,
  encodeHeadAndToc,
  formatTocList,
  memorySource,
  oldestPgRestore,
  type ArchiveVersion,
  type CompressionAlgorithm,
  type RandomAccessSource,
} from "../../src/archive/index.ts";
import { clientTools, quoteIdentifier, runTool, server, type Major, type TestDatabase } from "../support/servers.ts";
import { cleanEnvironment } from "../support/server-user.ts";
import { MemberArchiveReader } from "../../src/archive/member-archive-reader.ts";
import { TarMembers } from "../../src/archive/tar-members.ts";
import { copyArchive, copyDirectory, copyTar, filesOf, largeObjectsOf, memoryMembers, rowsOf } from "./fixtures.ts";

/** 17 writes the same version of the format as 18. */
const MAJORS: readonly Major[] = process.env["CAIRN_TEST_MATRIX"] === "full" ? [15, 17, 18] : [15, 18];
const TORTURE_FOLDER = new URL("../data/torture/", import.meta.url);
const CHINOOK = process.env["CAIRN_TEST_DATA"] && join(process.env["CAIRN_TEST_DATA"], "chinook/chinook.sql.zst");

const folder = mkdtempSync(join(tmpdir(), "cairn-archive-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileSource(path: string): RandomAccessSource {
  const file = openSync(path, "r");
  return {
    sizeBytes: statSync(path).size,
    read: async (offset, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    },
  };
}

async function printed(major: Major, file: string): Promise<string> {
  const { pgRestore } = await clientTools(major);
  return await runTool(pgRestore, ["-f", "-", "--restrict-key=x", file]);
}

/** pg_restore names the files of tar and directory archives in comments. */
function withoutFiles(text: string): string {
  return text.replaceAll(/^-- File: .*\n/gm, "");
}

async function openMembers(path: string, format: "directory" | "tar"): Promise<MemberArchiveReader> {
  if (format === "directory") return await MemberArchiveReader.open(memoryMembers(filesOf(path)), format);
  return await MemberArchiveReader.open(await TarMembers.open(fileSource(path)), format);
}

function writeFolder(path: string, files: ReadonlyMap<string, Uint8Array>): void {
  mkdirSync(path);
  for (const [name, bytes] of files) writeFileSync(join(path, name), bytes);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function dump(database: TestDatabase, name: string, flags: readonly string[] = []): Promise<string> {
  const file = join(folder, name);
  await runTool(database.server.tools.pgDump, ["-Fc", ...flags, "-f", file, "-d", database.uri]);
  return file;
}

async function loadChinook(database: TestDatabase, path: string): Promise<void> {
  const parts: Buffer[] = [];
  await pipeline(createReadStream(path), createZstdDecompress(), async (chunks) => {
    for await (const chunk of chunks) parts.push(chunk);
  });
  // The script makes a database of its own; its rows belong in this one.
  await database.psql(
    Buffer.concat(parts)
      .toString("utf8")
      .replaceAll(/^(DROP|CREATE) DATABASE.*$|^\\c .*$/gm, ""),
  );
}

describe.each(MAJORS)("an archive of torture.sql by pg_dump %i", (major) => {
  let database: TestDatabase;
  let file: string;
  let reader: CustomArchiveReader;

  beforeAll(async () => {
    const pg = await server(major);
    database = await pg.createDatabase();
    const sql = readFileSync(new URL("torture.sql", TORTURE_FOLDER), "utf8");
    await database.psql(sql);
    file = await dump(database, `torture-${major}.dump`);
    reader = await CustomArchiveReader.open(fileSource(file));
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
  });

  test("encodeHeadAndToc() repeats its table of contents byte by byte", () => {
    const original = readFileSync(file).subarray(0, reader.dataStartOffset);
    expect(encodeHeadAndToc(reader.toc).bytes.equals(original)).toBe(true);
  });

  test("formatTocList() prints what pg_restore --list prints", async () => {
    const { pgRestore } = await clientTools(18);
    const zone = /Archive created at \S+ \S+ (.*)/.exec(await runTool(pgRestore, ["--list", file]))?.[1] ?? "";
    for (const verbose of [false, true]) {
      const list = await runTool(pgRestore, ["--list", ...(verbose ? ["--verbose"] : []), file]);
      expect(formatTocList(reader.toc, { timeZoneName: zone, verbose })).toBe(list);
    }
  });

  test("tableData() gives the rows that COPY gives", async () => {
    const plain = new Set((await database.psql("SELECT oid FROM pg_class WHERE relkind = 'r'")).split("\n"));
    const commands: string[] = [];
    const expected: string[] = [];
    for (const entry of reader.toc.entries.filter(({ description }) => description === "TABLE DATA")) {
      const name = `${quoteIdentifier(entry.namespace ?? "")}.${quoteIdentifier(entry.tag)}`;
      const columns = /^COPY .*?( \(.*\)|) FROM stdin;\n$/s.exec(entry.copyStatement)?.[1] ?? "";
      // psql's own commands cannot stand in names; of an extension's tables only the user's rows are dumped.
      const isOdd = /[\r\n\\]/.test(name + columns) || name.startsWith('"torture_ext"');
      if (isOdd || !plain.has(String(entry.catalogId.oid))) continue;
      commands.push(`\\echo == ${name}\nCOPY ${name}${columns === " ()" ? "" : columns} TO STDOUT;\n`);
      expected.push(`== ${name}\n${await rowsOf(reader, entry)}`);
    }
    expect(expected.length).toBeGreaterThan(100);
    const settings = "SET intervalstyle = postgres; SET extra_float_digits = 3; SET datestyle = ISO;\n";
    const copied = await database.psql(settings + commands.join(""));
    expect(expected.join("").replace(/\n$/, "").split("\n")).toEqual(copied.split("\n"));
  });

  test("largeObjects() gives what lo_get gives", async () => {
    const sql = "SELECT oid, encode(lo_get(oid), 'hex') FROM pg_largeobject_metadata";
    const lines = (await database.psql(sql)).split("\n").map((line) => line.split("|"));
    expect(await largeObjectsOf(reader)).toEqual(Object.fromEntries(lines));
  });

  const originals = new Map<Major, Promise<string>>();
  const original = (tool: Major): Promise<string> => {
    const hash = originals.get(tool) ?? printed(tool, file).then(hashOf);
    originals.set(tool, hash);
    return hash;
  };

  const compressions: readonly CompressionAlgorithm[] = ["none", "gzip", "lz4", "zstd"];
  test.each(compressions)("copied with compression %s prints the same with stock pg_restore", async (compression) => {
    const version: ArchiveVersion =
      compression === "zstd" || compression === "lz4" ? "1.16" : reader.toc.header.version;
    const readers = MAJORS.filter((tool) => tool >= oldestPgRestore(version, compression));
    for (const canPatch of compression === "zstd" ? [true, false] : [compression === "gzip"]) {
      const copy = join(folder, `copy-${major}-${compression}-${canPatch}.dump`);
      writeFileSync(copy, await copyArchive(reader, { version, compression, canPatch }));
      for (const tool of readers) expect(hashOf(await printed(tool, copy)), `${tool}`).toBe(await original(tool));
    }
  });

  test.skipIf(major === 15)(
    "converted to 1.14 gives pg_restore 15 the same large objects, ACLs and comments",
    async () => {
      const copy = join(folder, `down-${major}.dump`);
      writeFileSync(copy, await copyArchive(reader, { version: "1.14", compression: "gzip", canPatch: true }));
      const wanted = /^(COMMENT ON LARGE OBJECT|ALTER LARGE OBJECT|GRANT|REVOKE|SELECT pg_catalog\.lo)/;
      const sorted = (text: string): string[] =>
        text
          .split("\n")
          .filter((line) => wanted.test(line))
          .toSorted();
      expect(sorted(await printed(15, copy))).toEqual(sorted(await printed(17, file)));
    },
  );

  test.skipIf(major === 15)("written by pg_dump with lz4 reads the same", async () => {
    const compressed = await CustomArchiveReader.open(
      fileSource(await dump(database, `lz4-${major}.dump`, ["-Z", "lz4"])),
    );
    expect(compressed.toc.header.compression).toBe("lz4");
    for (const entry of compressed.toc.entries.filter(({ description }) => description === "TABLE DATA")) {
      const original = reader.toc.entries.find(({ dumpId }) => dumpId === entry.dumpId);
      expect(original && (await rowsOf(reader, original))).toBe(await rowsOf(compressed, entry));
    }
    expect(await largeObjectsOf(compressed)).toEqual(await largeObjectsOf(reader));
  });

  test.each(["directory", "tar"] as const)("%s archives of pg_dump list and read the same", async (format) => {
    const flag = format === "tar" ? "-Ft" : "-Fd";
    const path = await dump(database, `torture-${major}.${format}`, [flag]);
    const other = await openMembers(path, format);
    const { pgRestore } = await clientTools(18);
    const list = await runTool(pgRestore, ["--list", path]);
    const timeZoneName = /Archive created at \S+ \S+ (.*)/.exec(list)?.[1] ?? "";
    expect(formatTocList(other.toc, { timeZoneName })).toBe(list);
    for (const entry of reader.toc.entries.filter(({ hadDumper }) => hadDumper)) {
      if (entry.description === "BLOBS") continue;
      const same = other.toc.entries.find(({ dumpId }) => dumpId === entry.dumpId);
      expect(same && (await rowsOf(other, same))).toBe(await rowsOf(reader, entry));
    }
    expect(await largeObjectsOf(other)).toEqual(await largeObjectsOf(reader));
  });

  const forms = { 15: ["gzip", "tar"], 17: ["gzip"], 18: ["lz4", "none", "zstd", "tar"] } as const;
  test.each(forms[major as 15 | 17 | 18])(
    "copied as a directory (%s) prints the same with stock pg_restore",
    async (form) => {
      const { version } = reader.toc.header;
      const copy = join(folder, `copy-${major}-${form}`);
      if (form === "tar") writeFileSync(copy, await copyTar(reader, version));
      else writeFolder(copy, await copyDirectory(reader, { version, compression: form }));
      for (const tool of new Set<Major>([major, 18])) {
        expect(hashOf(withoutFiles(await printed(tool, copy))), `${tool}`).toBe(await original(tool));
      }
    },
  );

  test("written by pg_dump to a pipe reads the same", async () => {
    const options = { env: cleanEnvironment(), encoding: "buffer", maxBuffer: 1 << 28 } as const;
    const { stdout: bytes } = await promisify(execFile)(
      database.server.tools.pgDump,
      ["-Fc", "-d", database.uri],
      options,
    );
    const piped = await CustomArchiveReader.open(memorySource(bytes));
    const entries = piped.toc.entries.filter(({ hadDumper }) => hadDumper);
    expect(new Set(entries.map(({ layout }) => layout?.dataState))).toEqual(new Set(["not-set"]));
    for (const entry of entries.filter(({ description }) => description !== "BLOBS").toReversed()) {
      const original = reader.toc.entries.find(({ dumpId }) => dumpId === entry.dumpId);
      expect(original && (await rowsOf(reader, original))).toBe(await rowsOf(piped, entry));
    }
    expect(await largeObjectsOf(piped)).toEqual(await largeObjectsOf(reader));
  });
});

test("an archive converted from 1.16 restores into server 15 with pg_restore 15", async () => {
  const pg = await server(15);
  await using source = await pg.createDatabase();
  await using target = await pg.createDatabase();
  await source.psql(readFileSync(new URL("fixtures/small.sql", import.meta.url), "utf8"));
  const file = join(folder, "from-15.dump");
  await runTool((await clientTools(17)).pgDump, ["-Fc", "-f", file, "-d", source.uri]);
  const reader = await CustomArchiveReader.open(fileSource(file));
  expect(reader.toc.header.version).toBe("1.16");
  const copy = join(folder, "to-15.dump");
  writeFileSync(copy, await copyArchive(reader, { version: "1.14", compression: "gzip", canPatch: true }));
  await runTool(pg.tools.pgRestore, ["--exit-on-error", "-d", target.uri, copy]);
  const text = async (uri: string): Promise<string> => await runTool(pg.tools.pgDump, ["--restrict-key=x", "-d", uri]);
  expect(await text(target.uri)).toBe(await text(source.uri));
  await runTool(pg.tools.pgRestore, ["--exit-on-error", "--clean", "--if-exists", "-j4", "-d", target.uri, copy]);
  expect(await text(target.uri)).toBe(await text(source.uri));
});

test.skipIf(CHINOOK === undefined)("chinook goes through our archive, with pg_restore -j4, unchanged", async () => {
  const pg = await server(18);
  await using source = await pg.createDatabase();
  await using target = await pg.createDatabase();
  await loadChinook(source, CHINOOK ?? "");
  const reader = await CustomArchiveReader.open(fileSource(await dump(source, "chinook.dump", ["-Z", "zstd"])));
  const copy = join(folder, "chinook-copy.dump");
  writeFileSync(copy, await copyArchive(reader, { version: "1.16", compression: "zstd", canPatch: true }));
  await runTool(pg.tools.pgRestore, ["--exit-on-error", "-j4", "-d", target.uri, copy]);
  const text = async (uri: string): Promise<string> => await runTool(pg.tools.pgDump, ["--restrict-key=x", "-d", uri]);
  expect(await text(target.uri)).toBe(await text(source.uri));
});
