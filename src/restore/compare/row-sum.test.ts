// RowSum: the order of rows and the cuts between pieces do not matter, everything else does.

import fc from "fast-check";
import { expect, test } from "vitest";
import { LONG_ROW_BYTES } from "./row-hash.ts";
import { addTotals, placesByName, RowSum, type RowTotal } from "./row-sum.ts";

function total(text: Uint8Array, cuts: readonly number[] = [], places: readonly number[] | null = null): RowTotal {
  const sum = new RowSum(places);
  const offsets = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length];
  // Each piece in a buffer that is used again, as sockets do.
  for (const [index, offset] of offsets.slice(1).entries()) {
    const piece = Buffer.from(text.subarray(offsets[index], offset));
    sum.push(piece);
    piece.fill(0xff);
  }
  return sum.finish();
}

const ofRows = (rows: readonly string[]): RowTotal => total(Buffer.from(rows.map((row) => `${row}\n`).join("")));

const row = fc.string({ unit: "grapheme", maxLength: 80 }).map((text) => text.replaceAll("\n", "\\n"));

test("RowSum gives the same for any order and any cuts", () => {
  fc.assert(
    fc.property(fc.array(row), fc.array(fc.nat()), fc.nat(), (rows, cuts, rotation) => {
      const turned = rows.map((_, index) => rows[(index + rotation) % rows.length]!);
      const text = Buffer.from(turned.map((one) => `${one}\n`).join(""));
      expect(total(text, cuts)).toEqual(ofRows(rows));
      expect(ofRows(rows).rowCount).toBe(rows.length);
    }),
  );
});

test("RowSum tells a dropped row, a doubled row, a moved byte and a changed byte", () => {
  fc.assert(
    fc.property(fc.array(row, { minLength: 1 }), row, (rows, other) => {
      const { sum } = ofRows(rows);
      expect(ofRows(rows.slice(1)).sum).not.toBe(sum);
      expect(ofRows([...rows, rows[0]!]).sum).not.toBe(sum);
      expect(ofRows([`${rows[0]}x`, ...rows.slice(1)]).sum).not.toBe(sum);
      if (other !== rows[0]) expect(ofRows([other, ...rows.slice(1)]).sum).not.toBe(sum);
    }),
  );
});

test("RowSum sees every single bit of a row of any length", () => {
  for (const length of [1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 100]) {
    const text = Buffer.from(`${"a".repeat(length)}\n`);
    const sums = new Set([total(text).sum]);
    for (let bit = 0; bit < length * 8; bit += 1) {
      const changed = Buffer.from(text);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      if (!changed.subarray(0, length).includes(0x0a)) sums.add(total(changed).sum);
      else sums.add(`newline ${bit}`);
    }
    expect(sums.size).toBe(length * 8 + 1);
  }
  // Zeros at the end count, and so do empty rows.
  expect(new Set(["", "\0", "\0\0", "\0\0\0"].map((text) => ofRows([text]).sum)).size).toBe(4);
  expect(ofRows(["", ""]).sum).not.toBe(ofRows([""]).sum);
});

test("RowSum hashes long rows alike in one piece and in many", () => {
  for (const length of [LONG_ROW_BYTES - 1, LONG_ROW_BYTES, LONG_ROW_BYTES * 3 + 7]) {
    const text = Buffer.concat([Buffer.from("first\n"), Buffer.alloc(length, "long "), Buffer.from("\nlast\n")]);
    const whole = total(text);
    expect(total(text, [3, 100, 5000, LONG_ROW_BYTES, LONG_ROW_BYTES + 1, LONG_ROW_BYTES * 2])).toEqual(whole);
    text[length >> 1]! ^= 1;
    expect(total(text).sum).not.toBe(whole.sum);
  }
});

test("RowSum with places compares rows whose columns stand in another order", () => {
  const one = { columns: ["id", "name", "note"], text: "1\tx\t\\N\n2\ty\tlong\n" };
  const other = { columns: ["note", "id", "name"], text: "long\t2\ty\n\\N\t1\tx\n" };
  const wrong = { columns: ["note", "id", "name"], text: "long\t1\ty\n\\N\t2\tx\n" };
  const [a, b, c] = [one, other, wrong].map(({ columns, text }) =>
    total(Buffer.from(text), [1, 2, 5, 8], placesByName(columns)),
  );
  expect(b).toEqual(a);
  expect(c!.sum).not.toBe(a!.sum);
  expect(() => total(Buffer.from("1\t2\n"), [], placesByName(one.columns))).toThrow("3 columns");
  expect(() => total(Buffer.from("1\t2\t3\t4\n"), [], placesByName(one.columns))).toThrow("3 columns");
});

test("RowSum refuses text that ends within a row; addTotals() adds parts", () => {
  expect(() => total(Buffer.from("1\n2"))).toThrow("middle of a row");
  expect(() => total(Buffer.from("1\t2\n3\t"), [], [0, 1])).toThrow("middle of a row");
  expect(addTotals([ofRows(["a", "b"]), ofRows(["c"])])).toEqual(ofRows(["a", "b", "c"]));
  expect(addTotals([])).toEqual(ofRows([]));
});
