// findDrops(): what is too much less, and what is not.

import fc from "fast-check";
import { expect, test } from "vitest";
import { DROP_LIMITS_DEFAULT, findDrops, type Amounts, type DropFacts, type TableRows } from "./drops.ts";

const amounts = (rows: number, rawBytes = rows * 100, largeObjects = 0): Amounts => ({ rows, rawBytes, largeObjects });
const table = (name: string, rowCount: number, oid = 1): TableRows => ({ oid, namespace: "public", name, rowCount });

function codes(facts: Partial<DropFacts>, limits = DROP_LIMITS_DEFAULT): string[] {
  const now = { ...amounts(10_000), tables: [] };
  return findDrops({ now, before: [], tablesBefore: [], ...facts }, limits).map(({ code }) => code);
}

test("findDrops() holds the whole against the median of the restore points before", () => {
  const now = { ...amounts(4_000), tables: [] };
  expect(codes({ now, before: [amounts(10_000)] })).toEqual(["drop-rows", "drop-size"]);
  expect(codes({ now, before: [amounts(8_000)] })).toEqual([]);
  // One odd restore point is no measure, neither high nor low.
  expect(codes({ now, before: [amounts(90_000), amounts(4_100), amounts(4_000)] })).toEqual([]);
  expect(codes({ now, before: [amounts(10), amounts(10_000), amounts(10_000)] })).toEqual(["drop-rows", "drop-size"]);
  expect(codes({ now, before: [amounts(10_000)] }, { totalPercent: 60, tablePercent: null })).toEqual([]);
  expect(codes({ now, before: [amounts(10_000)] }, { totalPercent: null, tablePercent: null })).toEqual([]);
  const none = { ...amounts(4_000, 400_000, 0), tables: [] };
  expect(codes({ now: none, before: [amounts(4_000, 400_000, 200)] })).toEqual(["drop-large-objects"]);
});

test("findDrops() says how much is left, in words", () => {
  const facts: DropFacts = {
    now: { ...amounts(900, 90_000), tables: [table("orders", 0), table("new_name", 5, 7), table("fine", 1_500, 9)] },
    before: [amounts(10_000, 1_000_000), amounts(12_000, 1_200_000)],
    tablesBefore: [
      table("orders", 8_000),
      table("old_name", 2_000, 7),
      table("fine", 2_000, 9),
      table("gone", 1_000, 3),
    ],
  };
  expect(findDrops(facts, DROP_LIMITS_DEFAULT).map(({ message }) => message)).toEqual([
    "there are 900 rows, 91.8 % less than in the last 2 restore points (11,000)",
    "there are 87.9 KiB of rows and large objects, 91.8 % less than in the last 2 restore points (1.0 MiB)",
    "table public.orders has 0 rows, 100 % less than before (8,000)",
    "table public.old_name has 5 rows, 99.8 % less than before (2,000)",
    "table public.gone is not there any more; it had 1,000 rows",
  ]);
});

test("findDrops() finds nothing where nothing is less, and bounds what it tells", () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.array(fc.nat(100_000)), (rows, more) => {
      const before = more.map((count) => amounts(Math.min(count, rows)));
      const tablesBefore = more.map((count, index) => table(`t${index}`, count, index));
      const tables = tablesBefore.map((one) => ({ ...one, rowCount: one.rowCount + 1 }));
      expect(codes({ now: { ...amounts(rows), tables }, before, tablesBefore })).toEqual([]);
    }),
  );
  const tablesBefore = Array.from({ length: 500 }, (_, index) => table(`t${index}`, 5_000, index));
  expect(codes({ tablesBefore }).length).toBe(21);
});
