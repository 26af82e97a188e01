import { describe, expect, test } from "vitest";

import { findEntry, readFixture } from "./fixtures.ts";
import { convertToc } from "../../src/archive/convert-toc.ts";
import { aclForLargeObject } from "../../src/archive/large-object-entries.ts";
import { readToc } from "../../src/archive/read-toc.ts";
import { encodeHeadAndToc } from "../../src/archive/encode-toc.ts";

describe("convertToc()", () => {
  test("down from 1.16 makes one BLOB entry per large object and one BLOBS entry", async () => {
    const { toc } = await readToc(readFixture("small-18.dump"));
    const { toc: converted, mapping } = convertToc(toc, "1.14");
    const objects = converted.entries.filter((entry) => entry.description === "BLOB");
    expect(objects.map((entry) => entry.tag).toSorted()).toEqual(["4294967295", "5001", "5002", "5003"]);
    expect(objects.every((entry) => entry.section === "pre-data" && entry.owner === "postgres")).toBe(true);
    const blobs = converted.entries.filter((entry) => entry.description === "BLOBS");
    const groups = toc.entries.filter((entry) => entry.description === "BLOBS").map((entry) => entry.dumpId);
    expect(blobs.length).toBe(1);
    expect(mapping.get(blobs[0]?.dumpId ?? 0)).toEqual(groups);
    expect(converted.entries.some((entry) => entry.description === "BLOB METADATA")).toBe(false);
    // What comes out is valid: unique dump ids, no loops.
    expect((await readToc(encodeHeadAndToc(converted, { offsets: "not-set" }).bytes)).toc.entries.length).toBe(
      converted.entries.length,
    );
  });

  test("gives each large object of a group its own ACL and keeps its comment", async () => {
    const { toc } = await readToc(readFixture("small-18.dump"));
    const { toc: converted } = convertToc(toc, "1.15");
    for (const oid of [5001, 5003]) {
      const object = findEntry(converted, "BLOB", String(oid));
      const acl = findEntry(converted, "ACL", `LARGE OBJECT ${oid}`);
      expect(acl.dependencies).toEqual([object.dumpId]);
      expect(acl.definition).toContain(`ON LARGE OBJECT ${oid} TO pg_monitor WITH GRANT OPTION;`);
      expect(acl.definition.match(/LARGE OBJECT [0-9]+/g)).toEqual([`LARGE OBJECT ${oid}`, `LARGE OBJECT ${oid}`]);
    }
    const comment = findEntry(converted, "COMMENT", "LARGE OBJECT 5001");
    expect(comment.dependencies).toEqual([findEntry(converted, "BLOB", "5001").dumpId]);
    const indexOf = (description: string, tag: string): number =>
      converted.entries.indexOf(findEntry(converted, description, tag));
    expect(indexOf("BLOB", "5001")).toBeLessThan(indexOf("COMMENT", "LARGE OBJECT 5001"));
    expect(indexOf("ACL", "LARGE OBJECT 5003")).toBeLessThan(indexOf("TABLE DATA", "note"));
  });

  test("up only changes the header", async () => {
    const { toc } = await readToc(readFixture("small-15.dump"));
    const { toc: converted, mapping } = convertToc(toc, "1.16");
    expect(converted).toEqual({ ...toc, header: { ...toc.header, version: "1.16" } });
    expect([...mapping]).toEqual(
      toc.entries.filter((entry) => entry.hadDumper).map(({ dumpId }) => [dumpId, [dumpId]]),
    );
  });

  test("refuses data of a large object that no entry creates", async () => {
    const { toc } = await readToc(readFixture("small-18.dump"));
    expect(() => convertToc(toc, "1.14", new Map([[1, [5001, 5004]]]))).toThrow(/no entry creates large object 5004/);
  });
});

test("aclForLargeObject() changes the OID and nothing inside quoted names", () => {
  const text = 'GRANT SELECT ON LARGE OBJECT 7 TO "a; LARGE OBJECT 7 ""x""";\nREVOKE ALL ON LARGE OBJECT 7 FROM b;\n';
  expect(aclForLargeObject(text, 9)).toBe(
    'GRANT SELECT ON LARGE OBJECT 9 TO "a; LARGE OBJECT 7 ""x""";\nREVOKE ALL ON LARGE OBJECT 9 FROM b;\n',
  );
});
