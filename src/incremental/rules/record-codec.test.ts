// The record in the manifest: JSON and back, the text of its numbers, and everything that makes no sense is null.

import fc from "fast-check";
import { expect, test } from "vitest";
import { CHECKPOINT_COUNT_MAX, chooseBase } from "./checkpoints.ts";
import { formatLsn, parseLsn } from "./lsn.ts";
import { decodeIncremental, decodeRelationShape, encodeIncremental } from "./record-codec.ts";
import { LARGE_OBJECTS, PARENT, TABLE } from "./rules.fixture.ts";

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("encodeIncremental() writes LSNs as PostgreSQL prints them and 64-bit numbers as decimal text", () => {
  const position = { ...PARENT.position, xmin: 2n ** 40n, xmax: 2n ** 40n, snapshotLsn: 0x16_b374_d848n };
  const record = { ...PARENT, position, sealLsn: 0xff_ffff_ffffn };
  expect(encodeIncremental(record)).toMatchObject({
    position: { xmin: "1099511627776", snapshotLsn: "16/B374D848", systemIdentifier: "7300000000000000001" },
    baseLsn: "0/3E8",
    sealLsn: "FF/FFFFFFFF",
    checkpoints: [{ timeline: 1, redoLsn: "0/3E8", nextXid: "740" }],
  });
});

test("encodeIncremental() refuses a record whose base or seal do not follow from it", () => {
  expect(() => encodeIncremental({ ...PARENT, baseLsn: 999n })).toThrow("base and seal follow");
  expect(() => encodeIncremental({ ...PARENT, sealLsn: 1499n })).toThrow("base and seal follow");
  expect(() => encodeIncremental({ ...PARENT, sealLsn: null })).toThrow("base and seal follow");
});

test("decodeIncremental() gives what encodeIncremental() was given", () => {
  const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
  const u32 = fc.nat(0xffff_ffff);
  const position = fc
    .record({
      systemIdentifier: u64.map(String),
      databaseOid: u32,
      timeline: fc.constantFrom(1, 2),
      hostRole: fc.constantFrom("primary" as const, "standby" as const),
      postmasterStartedAt: fc.string({ maxLength: 40 }),
      serverVersionNum: u32,
      xids: fc.tuple(u64, u64),
      snapshotLsn: u64,
    })
    .map(({ xids: [one, other], ...facts }) => {
      return { ...facts, xmin: one < other ? one : other, xmax: one < other ? other : one };
    });
  const checkpoints = fc.array(fc.record({ timeline: fc.constantFrom(1, 2), redoLsn: u64, nextXid: u64 }), {
    maxLength: 5,
  });
  const settings = fc.dictionary(fc.string(), fc.string(), { maxKeys: 5 });
  const more = fc.record({ settings, selection: fc.array(fc.string()), sealed: fc.boolean(), runs: fc.nat() });
  fc.assert(
    fc.property(position, checkpoints, more, (at, records, { settings: set, selection, sealed, runs }) => {
      const baseLsn = chooseBase(records, at);
      const record = {
        position: at,
        text: { settings: set, selection, segmentBlockCount: 512, readerVersion: 3 },
        checkpoints: records,
        baseLsn,
        sealLsn: sealed ? at.snapshotLsn : null,
        summaryDigest: sealed && baseLsn !== null ? "0f".repeat(32) : null,
        largeObjects: sealed ? LARGE_OBJECTS : null,
        runsSinceFullRead: runs,
        distrustedBecause: sealed ? null : "it differed",
      };
      expect(decodeIncremental(throughJson(encodeIncremental(record)))).toEqual(record);
    }),
  );
});

test("decodeIncremental() gives null for whatever is not a record", () => {
  for (const json of [null, undefined, 1, "x", [], {}, { position: null }]) expect(decodeIncremental(json)).toBeNull();
  fc.assert(fc.property(fc.jsonValue(), (json) => decodeIncremental(json) === null));
});

const valid = throughJson(encodeIncremental(PARENT)) as Record<string, unknown>;

/** Every path to a value of the record. */
function paths(json: unknown, path: readonly string[] = []): string[][] {
  if (typeof json !== "object" || json === null) return [[...path]];
  const children = Object.entries(json).flatMap(([name, child]) => paths(child, [...path, name]));
  return path.length === 0 ? children : [[...path], ...children];
}

function withValue(path: readonly string[], value: unknown): unknown {
  const json = structuredClone(valid);
  let at = json;
  for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
  at[path.at(-1)!] = value;
  return json;
}

test.each(paths(valid).map((path) => [path.join("."), path] as const))(
  "decodeIncremental() gives null for a wrong %s",
  (_, path) => {
    const wrong = [undefined, -1, 1.5, 2 ** 60, true, "x".repeat(9000), path.at(-1) === "settings" ? null : {}];
    const isRight = (value: unknown): boolean =>
      (path.join() === "largeObjects" && value === undefined) || (path.at(-1) === "isStable" && value === true);
    for (const value of wrong.filter((one) => !isRight(one))) {
      expect(decodeIncremental(withValue(path, value)), typeof value).toBeNull();
    }
  },
);

test("decodeIncremental() gives null beyond its limits and for numbers written in another way", () => {
  const one = (valid["checkpoints"] as unknown[])[0];
  const cases: readonly (readonly [readonly string[], unknown])[] = [
    [["checkpoints"], Array.from({ length: CHECKPOINT_COUNT_MAX + 1 }, () => one)],
    [["text", "settings"], Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`s${index}`, "x"]))],
    [["text", "selection"], Array.from({ length: 100_001 }, () => "x")],
    [["text", "segmentBlockCount"], 0],
    [["position", "xmin"], String(2n ** 64n)],
    [["position", "xmin"], "0x1"],
    [["position", "snapshotLsn"], "5DC"],
    [["position", "hostRole"], "witness"],
    [["position", "databaseOid"], 2 ** 32],
    [["summaryDigest"], "AB".repeat(32)],
    [["baseLsn"], "0/3E7"],
    [["baseLsn"], null],
    [["sealLsn"], "0/1"],
    [["sealLsn"], null],
  ];
  for (const [path, value] of cases) expect(decodeIncremental(withValue(path, value)), path.join(".")).toBeNull();
});

test("decodeIncremental() knows nothing of large objects where an earlier version recorded none", () => {
  const { largeObjects: _, ...earlier } = valid;
  expect(decodeIncremental(earlier)).toEqual({ ...PARENT, largeObjects: null });
});

test("decodeIncremental() passes over fields that it does not know", () => {
  expect(decodeIncremental({ ...valid, later: 1 })).toEqual(PARENT);
});

test("decodeRelationShape() reads a shape from JSON, null for what is none", () => {
  expect(decodeRelationShape(throughJson({ ...TABLE, later: 1 }))).toEqual(TABLE);
  const foreign = { ...TABLE, accessMethod: null, alwaysReadBecause: "it is a foreign table" };
  expect(decodeRelationShape(throughJson(foreign))).toEqual(foreign);
  expect(decodeRelationShape(null)).toBeNull();
  for (const name of Object.keys(TABLE)) {
    for (const value of [undefined, -1, 1.5, 2 ** 60, {}, "x".repeat(9000)]) {
      expect(decodeRelationShape({ ...TABLE, [name]: value }), name).toBeNull();
    }
  }
});

test("formatLsn() and parseLsn() are each other's reverse; other text is none", () => {
  fc.assert(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (lsn) => parseLsn(formatLsn(lsn)) === lsn));
  expect(formatLsn(0x1_0000_000an)).toBe("1/A");
  expect(parseLsn("16/0B374D84")).toBe(0x16_0b37_4d84n);
  for (const text of ["", "1", "1/", "/1", "1/2/3", "g/1", "123456789/0", "0/123456789", " 1/2", "-1/2"]) {
    expect(parseLsn(text), text).toBeNull();
  }
});
