import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ByteReader, ByteWriter, NotUtf8, ShortInput, intOfOid, oidOfInt } from "./primitives.ts";

function reader(bytes: Buffer): ByteReader {
  return new ByteReader(bytes, 100, "utf8");
}

describe("ByteWriter and ByteReader", () => {
  test("integers come back, in 1 + 4 bytes with the sign first", () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const writer = new ByteWriter(4, 8);
        writer.writeInt(value);
        expect(writer.length).toBe(5);
        expect(reader(writer.bytes()).readInt("value")).toBe(value);
      }),
    );
    const writer = new ByteWriter(4, 8);
    writer.writeInt(-258);
    expect([...writer.bytes()]).toEqual([1, 2, 1, 0, 0]);
  });

  test("OIDs come back through C ints", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), (oid) => {
        const writer = new ByteWriter(4, 8);
        writer.writeInt(intOfOid(oid));
        expect(oidOfInt(reader(writer.bytes()).readInt("oid"))).toBe(oid);
      }),
    );
  });

  test("strings and nulls come back", () => {
    const text = fc.string({ unit: "binary", maxLength: 20 }).filter((value) => !value.includes("\0"));
    fc.assert(
      fc.property(fc.option(text), (value) => {
        const writer = new ByteWriter(4, 8);
        writer.writeString(value, "utf8");
        expect(reader(writer.bytes()).readString("text", 1000)).toBe(value);
      }),
    );
  });

  test("offsets come back with their state", () => {
    const states = fc.constantFrom("not-set", "set", "no-data");
    fc.assert(
      fc.property(states, fc.nat({ max: Number.MAX_SAFE_INTEGER }), (state, offset) => {
        const writer = new ByteWriter(4, 8);
        writer.writeOffset(state, offset);
        expect(writer.length).toBe(9);
        expect(reader(writer.bytes()).readOffset("offset")).toEqual({ state, offset });
      }),
    );
  });
});

describe("ByteReader", () => {
  test("names offset and field of a bad sign byte", () => {
    expect(() => reader(Buffer.from([7, 0, 0, 0, 0])).readInt("dump id")).toThrow(
      /dump id at offset 100: sign byte is 7/,
    );
  });

  test("refuses a string longer than what can follow, before reading it", () => {
    const writer = new ByteWriter(4, 8);
    writer.writeInt(1001);
    expect(() => reader(writer.bytes()).readString("tag", 1000)).toThrow(/length of tag at offset 100: 1001/);
  });

  test("asks for more input, from where it stood", () => {
    const writer = new ByteWriter(4, 8);
    writer.writeString("hello", "utf8");
    const short = reader(writer.bytes().subarray(0, 7));
    expect(() => short.readString("tag", 1000)).toThrow(ShortInput);
    expect(short.position).toBe(0);
  });

  test("tells bytes that are not UTF-8, and takes them as latin1", () => {
    const writer = new ByteWriter(4, 8);
    writer.writeString("\u00e9", "latin1");
    expect(() => reader(writer.bytes()).readString("tag", 1000)).toThrow(NotUtf8);
    expect(new ByteReader(writer.bytes(), 0, "latin1").readString("tag", 1000)).toBe("\u00e9");
  });

  test("gives each string its own text, whatever stood in that field before", () => {
    const short = fc.string({ unit: "grapheme", minLength: 0, maxLength: 6 });
    const texts = fc.array(
      fc.oneof(short, fc.constantFrom("public", "publik", "heap", "a".repeat(64), "a".repeat(65))),
    );
    const withoutZero = texts.map((list) => list.map((text) => text.replaceAll("\0", "0")));
    fc.assert(
      fc.property(withoutZero, (list) => {
        const writer = new ByteWriter(4, 8);
        for (const text of list) writer.writeString(text, "utf8");
        const one = reader(Buffer.from(writer.bytes()));
        expect(list.map(() => one.readString("tag", 1000))).toEqual(list);
        expect(one.position).toBe(writer.length);
      }),
    );
  });

  test.each([3, 100])("refuses a string of %d bytes with a zero byte in it", (length) => {
    const bytes = Buffer.from([0, length, 0, 0, 0, ...Buffer.from("x".repeat(length))]);
    bytes[6] = 0;
    expect(() => reader(bytes).readString("tag", 1000)).toThrow(/tag at offset 100: the string holds a zero byte/);
  });
});
