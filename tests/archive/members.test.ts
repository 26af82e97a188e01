// Tar and directory archives without a server: those of stock pg_dump from fixtures/, and hostile changes of them.

import { describe, expect, test } from "vitest";

import { CustomArchiveReader } from "../../src/archive/custom-archive-reader.ts";
import { encodeHeadAndToc } from "../../src/archive/encode-toc.ts";
import { TAR_MEMBER_COUNT_MAX } from "../../src/archive/limits.ts";
import { MemberArchiveReader } from "../../src/archive/member-archive-reader.ts";
import { memorySource } from "../../src/archive/random-access-source.ts";
import { encodeTarHeader, parseTarHeader, TAR_BLOCK_BYTES } from "../../src/archive/tar-header.ts";
import { TarMembers } from "../../src/archive/tar-members.ts";
import type { CompressionAlgorithm } from "../../src/archive/toc.ts";
import { isOperatingError } from "../../src/base/errors.ts";
import {
  copyDirectory,
  copyTar,
  filesOf,
  findEntry,
  largeObjectsOf,
  memoryMembers,
  readContents,
  readFixture,
  rowsOf,
  tricklingSource,
} from "./fixtures.ts";

const ROWS =
  "1\tone\\ttab\t2026-01-01 00:00:00+00\n2\ttwo\\nlines \\\\ end\t2026-01-01 00:00:00+00\n3\t\\N\t2026-01-01 00:00:00+00\n";

const LARGE_OBJECTS = {
  5001: Buffer.from("first").toString("hex"),
  5002: "",
  5003: "00ff".repeat(3000),
  4294967295: Buffer.from("last").toString("hex"),
};

const TARS = ["small-15.tar", "small-18.tar"];
const DIRECTORIES = ["small-15", "small-17", "small-18"];

function directory(name: string): Map<string, Buffer> {
  return filesOf(new URL(`fixtures/${name}.directory`, import.meta.url));
}

async function openTar(bytes: Uint8Array): Promise<MemberArchiveReader> {
  return await MemberArchiveReader.open(await TarMembers.open(memorySource(bytes)), "tar");
}

async function openDirectory(files: ReadonlyMap<string, Uint8Array>): Promise<MemberArchiveReader> {
  return await MemberArchiveReader.open(memoryMembers(files), "directory");
}

/** The code of the error of reading all of it; "read" when there is none. */
async function outcome(open: () => Promise<MemberArchiveReader>): Promise<string> {
  try {
    await readContents(await open());
    return "read";
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return error.code;
  }
}

async function expectSmall(reader: MemberArchiveReader | CustomArchiveReader): Promise<void> {
  expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "note"))).toBe(ROWS);
  expect(await rowsOf(reader, findEntry(reader.toc, "TABLE DATA", "empty"))).toBe("");
  expect(await largeObjectsOf(reader)).toEqual(LARGE_OBJECTS);
}

describe("MemberArchiveReader", () => {
  test.each(TARS)("reads rows and large objects of %s, a byte at a time too", async (name) => {
    await expectSmall(await openTar(readFixture(name)));
    const members = await TarMembers.open(tricklingSource(readFixture(name)));
    await expectSmall(await MemberArchiveReader.open(members, "tar"));
  });

  test.each(DIRECTORIES)("reads rows and large objects of the directory %s", async (name) => {
    await expectSmall(await openDirectory(directory(name)));
  });

  test.each(TARS)("encodeHeadAndToc() repeats the table of contents of %s byte by byte", async (name) => {
    const { toc } = await openTar(readFixture(name));
    const member = await (await TarMembers.open(memorySource(readFixture(name)))).open("toc.dat");
    expect(encodeHeadAndToc(toc).bytes.equals(Buffer.from((await member?.read(0, 1 << 20)) ?? []))).toBe(true);
  });

  test.each(DIRECTORIES)("encodeHeadAndToc() repeats the table of contents of directory %s", async (name) => {
    const files = directory(name);
    expect(encodeHeadAndToc((await openDirectory(files)).toc).bytes.equals(files.get("toc.dat") ?? Buffer.of())).toBe(
      true,
    );
  });

  test.each(DIRECTORIES)("refuses every file of directory %s cut off, or missing", async (name) => {
    const files = directory(name);
    for (const [member, bytes] of files) {
      const without = new Map([...files].filter(([other]) => other !== member));
      const isOwn = member !== "toc.dat";
      expect(await outcome(() => openDirectory(without)), member).toBe(isOwn ? "corrupt" : "archive_invalid");
      for (let length = 0; length < bytes.length; length += member === "toc.dat" ? 397 : 3) {
        const cut = new Map([...files, [member, bytes.subarray(0, length)] as const]);
        const found = await outcome(() => openDirectory(cut));
        // Nothing at all is how pg_dump writes an empty large object with lz4 and zstd.
        const mayBeEmpty = /^blob_.*\.(?:lz4|zst)$/.test(member) && length === 0;
        if (mayBeEmpty && found === "read") continue;
        expect(found, `${member} ${length}`).toMatch(/^(corrupt|archive_invalid)$/);
      }
    }
  });

  test.each(DIRECTORIES)("refuses a list of directory %s that ends after any line", async (name) => {
    const files = directory(name);
    for (const [member, bytes] of files) {
      if (!/^blobs.*\.toc$/.test(member)) continue;
      const lines = bytes.toString().split("\n").slice(0, -1);
      for (let count = 0; count < lines.length; count += 1) {
        const text = lines.slice(0, count).map((line) => `${line}\n`);
        const cut = new Map([...files, [member, Buffer.from(text.join(""))] as const]);
        expect(await outcome(() => openDirectory(cut)), `${member} ${count}`).toBe("corrupt");
      }
      const twice = new Map([...files, [member, Buffer.concat([bytes, bytes])] as const]);
      expect(await outcome(() => openDirectory(twice)), member).toBe("corrupt");
    }
  });

  test("refuses uncompressed rows without their end", async () => {
    const files = await copyDirectory(await openTar(readFixture("small-18.tar")), {
      version: "1.16",
      compression: "none",
    });
    const [name, bytes] = [...files].find(([, data]) => data.includes("one\\ttab")) ?? ["", Buffer.of()];
    expect(await outcome(() => openDirectory(files))).toBe("read");
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = new Map([...files, [name, bytes.subarray(0, length)] as const]);
      expect(await outcome(() => openDirectory(cut)), `length ${length}`).toBe("corrupt");
    }
  });

  test.each([
    ["a path", "5001 ../5001.dat\n"],
    ["an absolute path", "5001 /etc/passwd\n"],
    ["no OID", "x blob_5001.dat\n"],
    ["another object's file", "5001 blob_5002.dat\n"],
    ["an OID that is too large", "5000000000 blob_5001.dat\n"],
    ["a line without end", "5001 blob_5001.dat"],
    ["a line that never ends", "5".repeat(100_000)],
  ])("refuses a list of large objects with %s", async (_, text) => {
    const files = directory("small-15").set("blobs.toc", Buffer.from(text));
    expect(await outcome(() => openDirectory(files))).toBe("corrupt");
  });

  test.each(["../toc.dat", "/etc/passwd", "a/b", ".hidden", "x\n"])(
    "refuses a table of contents that names the file %j",
    async (name) => {
      const { toc } = await openDirectory(directory("small-18"));
      const entries = toc.entries.map((entry) => {
        return entry.layout?.fileName ? { ...entry, layout: { ...entry.layout, fileName: name } } : entry;
      });
      const files = directory("small-18").set("toc.dat", encodeHeadAndToc({ ...toc, entries }).bytes);
      expect(await outcome(() => openDirectory(files))).toBe("archive_invalid");
    },
  );

  test("refuses a table of contents in which entries share a file", async () => {
    const { toc } = await openDirectory(directory("small-18"));
    const name = toc.entries.find(({ hadDumper }) => hadDumper)?.layout?.fileName ?? null;
    const entries = toc.entries.map((entry) => {
      return entry.hadDumper && entry.layout ? { ...entry, layout: { ...entry.layout, fileName: name } } : entry;
    });
    const files = directory("small-18").set("toc.dat", encodeHeadAndToc({ ...toc, entries }).bytes);
    expect(await outcome(() => openDirectory(files))).toBe("archive_invalid");
  });

  test("reads gzip data in several members, and refuses bytes after it", async () => {
    const { gzipSync } = await import("node:zlib");
    const files = directory("small-15");
    const [name, bytes] = [...files].find(([key]) => /^\d+\.dat\.gz$/.test(key)) ?? ["", Buffer.of()];
    const rows = Buffer.from("1\tx\t2026-01-01 00:00:00+00\n");
    files.set(name, Buffer.concat([gzipSync(rows), gzipSync(rows), gzipSync("\\.\n\n\n")]));
    const reader = await openDirectory(files);
    const entry = reader.toc.entries.find(({ layout }) => `${layout?.fileName}.gz` === name);
    expect(await rowsOf(reader, entry!)).toBe(`${rows.toString()}${rows.toString()}`);
    files.set(name, Buffer.concat([bytes, Buffer.from("more")]));
    expect(await outcome(() => openDirectory(files))).toBe("corrupt");
  });

  test("refuses the table of contents of a custom archive, and bytes after it", async () => {
    const custom = directory("small-18").set("toc.dat", readFixture("small-18.dump"));
    expect(await outcome(() => openDirectory(custom))).toBe("archive_unsupported");
    const files = directory("small-18");
    files.set("toc.dat", Buffer.concat([files.get("toc.dat") ?? Buffer.of(), Buffer.from("x")]));
    expect(await outcome(() => openDirectory(files))).toBe("archive_invalid");
  });

  test("a compressed file that holds a thousand times its size is read in bounded pieces", async () => {
    const { gzipSync } = await import("node:zlib");
    const row = Buffer.alloc(1 << 20, "x");
    row[row.length - 1] = 10;
    const bomb = gzipSync(Buffer.concat([...Array.from({ length: 48 }, () => row), Buffer.from("\\.\n\n\n")]));
    const files = directory("small-15");
    const name = [...files.keys()].find((key) => key.endsWith(".dat.gz") && !key.startsWith("blob_")) ?? "";
    const reader = await openDirectory(files.set(name, bomb));
    const entry = reader.toc.entries.find(({ layout }) => `${layout?.fileName}.gz` === name);
    let largestBytes = 0;
    let sumBytes = 0;
    for await (const piece of reader.tableData(entry!)) {
      largestBytes = Math.max(largestBytes, piece.rawLengthBytes);
      sumBytes += piece.rawLengthBytes;
    }
    expect(sumBytes).toBe(48 << 20);
    expect(largestBytes).toBeLessThan(4 << 20);
  });
});

describe("TarMembers", () => {
  const tar = readFixture("small-18.tar");

  test("refuses every truncation at a block", async () => {
    const lastBlock = tar.length - 2 * TAR_BLOCK_BYTES;
    for (let length = 0; length <= lastBlock; length += TAR_BLOCK_BYTES) {
      expect(await outcome(() => openTar(tar.subarray(0, length))), `length ${length}`).toBe("archive_invalid");
    }
  });

  /** The archive with its first header changed, checksum right. */
  function withHeader(change: (header: Buffer) => void): Buffer {
    const changed = Buffer.from(tar);
    const header = changed.subarray(0, TAR_BLOCK_BYTES);
    change(header);
    const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return changed;
  }

  function named(name: string): Buffer {
    return withHeader((header) => {
      header.fill(0, 0, 100);
      header.write(name, 0, "latin1");
    });
  }

  test.each(["../toc.dat", "/toc.dat", "./toc.dat", "a/../toc.dat", "..", ""])(
    "refuses a member of the name %j",
    async (name) => {
      expect(await outcome(() => openTar(named(name)))).toBe("archive_invalid");
    },
  );

  test.each(["1", "2", "3", "5", "L", "x", "g"])("refuses a member of type %s", async (type) => {
    expect(await outcome(() => openTar(withHeader((header) => header.write(type, 156, "latin1"))))).toBe(
      "archive_invalid",
    );
  });

  test.each([
    ["negative in base 256", Buffer.alloc(12, 0xff)],
    ["beyond the archive", Buffer.from("00000777777 ")],
    ["beyond 2^53", Buffer.concat([Buffer.of(0x80), Buffer.alloc(11, 0xff)])],
    ["no number", Buffer.from("12x45678901 ")],
    ["nothing", Buffer.alloc(12)],
  ])("refuses a size that is %s", async (_, size) => {
    expect(await outcome(() => openTar(withHeader((header) => header.set(size, 124))))).toBe("archive_invalid");
  });

  test("refuses a wrong checksum and two members of one name", async () => {
    const flipped = Buffer.from(tar);
    flipped[3]! ^= 1;
    expect(await outcome(() => openTar(flipped))).toBe("archive_invalid");
    const twice = Buffer.concat([tar.subarray(0, tar.length - 1024), tar]);
    expect(await outcome(() => openTar(twice))).toBe("archive_invalid");
  });

  test("finds members behind one of more than 8 GiB", async () => {
    const sizeBytes = 9 * 2 ** 30 + 5;
    const first = encodeTarHeader({ name: "1.dat", sizeBytes }, 0);
    const rest = Buffer.concat([
      encodeTarHeader({ name: "2.dat", sizeBytes: 3 }, 0),
      Buffer.alloc(512, "abc"),
      Buffer.alloc(1024),
    ]);
    const restOffset = TAR_BLOCK_BYTES + sizeBytes + 507;
    const members = await TarMembers.open({
      sizeBytes: restOffset + rest.length,
      read: async (offset, length) => {
        if (offset < TAR_BLOCK_BYTES) return first.subarray(offset, offset + length);
        return offset >= restOffset
          ? rest.subarray(offset - restOffset, offset - restOffset + length)
          : Buffer.alloc(length);
      },
    });
    const member = await members.open("2.dat");
    expect(Buffer.from((await member?.read(0, 100)) ?? []).toString()).toBe("abc");
    expect((await members.open("1.dat"))?.sizeBytes).toBe(sizeBytes);
  });

  test("refuses more members than may be held in memory", async () => {
    expect(TAR_MEMBER_COUNT_MAX).toBe(1_000_000);
    const memberCount = (await TarMembers.open(memorySource(tar))).count;
    expect(memberCount).toBeGreaterThan(5);
    await TarMembers.open(memorySource(tar), undefined, memberCount);
    await expect(TarMembers.open(memorySource(tar), undefined, memberCount - 1)).rejects.toMatchObject({
      code: "archive_unsupported",
      message: `the tar archive has more than ${memberCount - 1} members`,
    });
  });

  test("parseTarHeader() reads what encodeTarHeader() writes, at every size", () => {
    for (const sizeBytes of [0, 1, 511, 2 ** 33 - 1, 2 ** 33, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER]) {
      expect(parseTarHeader(encodeTarHeader({ name: "1.dat", sizeBytes }, 1_800_000_000), 0)).toEqual({
        name: "1.dat",
        sizeBytes,
      });
    }
  });
});

describe("MemberArchiveWriter", () => {
  const compressions: readonly CompressionAlgorithm[] = ["none", "gzip", "lz4", "zstd"];
  test.each(compressions)("writes a directory with %s that reads the same", async (compression) => {
    const original = await CustomArchiveReader.open(memorySource(readFixture("small-18.dump")));
    await expectSmall(await openDirectory(await copyDirectory(original, { version: "1.16", compression })));
  });

  test("writes a tar archive that reads the same, for old pg_restores too", async () => {
    const original = await CustomArchiveReader.open(memorySource(readFixture("small-18.dump")));
    await expectSmall(await openTar(await copyTar(original, "1.16")));
    await expectSmall(await openTar(await copyTar(original, "1.14")));
  });
});
