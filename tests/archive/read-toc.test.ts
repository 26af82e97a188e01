import { describe, expect, test } from "vitest";

import { isOperatingError } from "../../src/base/errors.ts";
import { SMALL_ARCHIVES, findEntry, readFixture, tricklingSource } from "./fixtures.ts";
import { encodeHeadAndToc } from "../../src/archive/encode-toc.ts";
import { formatTocList } from "../../src/archive/format-toc-list.ts";
import { readToc } from "../../src/archive/read-toc.ts";
import type { ArchiveVersion, Toc, TocEntry } from "../../src/archive/toc.ts";

const INVALID = /archive_invalid|archive_unsupported/;

async function outcomeOf(bytes: Uint8Array): Promise<string> {
  try {
    await readToc(bytes);
    return "read";
  } catch (error) {
    if (!isOperatingError(error) || !INVALID.test(error.code)) throw error;
    return error.code;
  }
}

async function small(): Promise<Toc> {
  return (await readToc(readFixture("small-18.dump"))).toc;
}

describe("readToc()", () => {
  test.each(SMALL_ARCHIVES)("of %s can be written again byte by byte", async (name) => {
    const bytes = readFixture(`${name}.dump`);
    const { toc, dataStartOffset } = await readToc(bytes);
    expect(encodeHeadAndToc(toc).bytes.equals(bytes.subarray(0, dataStartOffset))).toBe(true);
  });

  test.each(SMALL_ARCHIVES)("of %s lists as pg_restore does", async (name) => {
    const { toc } = await readToc(readFixture(`${name}.dump`));
    expect(formatTocList(toc, { timeZoneName: "UTC" })).toBe(readFixture(`${name}.list`).toString());
  });

  test("reads the same from a source that gives one byte at a time", async () => {
    const bytes = readFixture("small-17.dump");
    expect(await readToc(tricklingSource(bytes))).toEqual(await readToc(bytes));
  });

  test("refuses every truncation of the table of contents, naming offset and field", async () => {
    const bytes = readFixture("small-18.dump");
    const { dataStartOffset } = await readToc(bytes);
    for (let length = 0; length < dataStartOffset; length += 1) {
      await expect(readToc(bytes.subarray(0, length))).rejects.toThrow(/at offset \d+: /);
    }
    expect(await outcomeOf(bytes.subarray(0, dataStartOffset))).toBe("read");
  });

  test("with any one bit flipped reads something or refuses, and never fails otherwise", async () => {
    const toc = await small();
    const entries = toc.entries.filter((entry) => /^(ENCODING|COMMENT|TABLE DATA|BLOBS)$/.test(entry.description));
    const original = encodeHeadAndToc({ ...toc, entries: entries.slice(0, 5) }).bytes;
    const bytes = Buffer.from(original);
    const outcomes: Record<string, number> = {};
    for (let bit = 0; bit < original.length * 8; bit += 1) {
      const index = bit >> 3;
      const byte = original[index] ?? 0;
      bytes[index] = byte ^ (1 << (bit & 7));
      const outcome = await outcomeOf(bytes);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      bytes[index] = byte;
    }
    expect(outcomes["archive_invalid"]).toBeGreaterThan(1000);
  });

  test("reads all strings as latin1 when one is not UTF-8, and writes them back", async () => {
    const toc = await small();
    const entries = toc.entries.map((entry) => (entry.tag === "note" ? { ...entry, tag: "n\u00f6te" } : entry));
    const { bytes } = encodeHeadAndToc({ ...toc, textEncoding: "latin1", entries });
    const again = await readToc(bytes);
    expect(again.toc.textEncoding).toBe("latin1");
    expect(findEntry(again.toc, "TABLE", "n\u00f6te").tag).toBe("n\u00f6te");
    expect(encodeHeadAndToc(again.toc).bytes.equals(bytes)).toBe(true);
  });

  test.each(["1.12", "1.13", "1.14", "1.15", "1.16"] satisfies ArchiveVersion[])(
    "reads version %s",
    async (version) => {
      const toc = await small();
      const header = { ...toc.header, version };
      const again = await readToc(encodeHeadAndToc({ ...toc, header }).bytes);
      expect(again.toc.header).toEqual(header);
      const entry = findEntry(again.toc, "TABLE", "note");
      expect(entry.relationKind).toBe(version === "1.16" ? "r" : "");
      expect(entry.tableAccessMethod).toBe(version === "1.12" || version === "1.13" ? null : "heap");
    },
  );

  test("refuses dump ids that occur twice", async () => {
    const toc = await small();
    const dumpId = toc.entries[0]?.dumpId ?? 0;
    const entries = toc.entries.map((entry, index) => (index === 5 ? { ...entry, dumpId } : entry));
    await expect(readToc(encodeHeadAndToc({ ...toc, entries }).bytes)).rejects.toThrow(/occurs twice/);
  });

  test("refuses dependencies that form a loop, however long", async () => {
    const toc = await small();
    const first = toc.entries[0];
    if (first === undefined) throw new Error("no entries");
    const chain = (length: number, last: number): Buffer => {
      const entries = Array.from({ length }, (_, index): TocEntry => {
        const dependency = index === length - 1 ? last : index + 2;
        return { ...first, dumpId: index + 1, dependencies: dependency === 0 ? [] : [dependency] };
      });
      return encodeHeadAndToc({ ...toc, entries }).bytes;
    };
    expect(await outcomeOf(chain(20_000, 0))).toBe("read");
    await expect(readToc(chain(20_000, 1))).rejects.toThrow(/form a loop/);
    await expect(readToc(chain(1, 1))).rejects.toThrow(/form a loop/);
  });

  test("refuses an absurd count of entries before reading them", async () => {
    const { bytes, tocOffset } = encodeHeadAndToc(await small());
    bytes.set([0, 255, 255, 255, 127], tocOffset);
    await expect(readToc(bytes)).rejects.toThrow(/count of entries at offset \d+: 2147483647 is not between/);
  });

  test("refuses other versions and formats as unsupported", async () => {
    const { bytes } = encodeHeadAndToc(await small());
    const changed = (index: number, value: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[index] = value;
      return copy;
    };
    expect(await outcomeOf(changed(6, 17))).toBe("archive_unsupported");
    expect(await outcomeOf(changed(6, 11))).toBe("archive_unsupported");
    await expect(readToc(changed(10, 5))).rejects.toThrow(/is of a directory archive, not of a custom one/);
    expect(await outcomeOf(changed(10, 9))).toBe("archive_unsupported");
    await expect(readToc(changed(11, 9))).rejects.toThrow(/compression algorithm 9/);
    await expect(readToc(Buffer.from("-- PostgreSQL database dump"))).rejects.toThrow(/does not begin with PGDMP/);
  });

  test("stops when it is cancelled", async () => {
    const signal = AbortSignal.abort(new Error("cancelled"));
    await expect(readToc(readFixture("small-18.dump"), { signal })).rejects.toThrow("cancelled");
  });
});
