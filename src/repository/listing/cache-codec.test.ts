// The text of a listing cache: what comes back, what has no room, what is no listing.

import { describe, expect, test } from "vitest";
import { decodeListing, encodeListing } from "./cache-codec.ts";
import type { CachedManifest } from "./cache-codec.ts";
import { CACHE_TEXT_BYTES_MAX } from "./cache-file.ts";
import { PackTable } from "./pack-table.ts";

const table = new PackTable();

function manifestOf(day: number, text: string, packs: readonly string[] | null): CachedManifest {
  const id = `202611${String(day).padStart(2, "0")}T100000Z-00000000`;
  const object = { name: `backups/${"0".repeat(32)}/${id}`, sizeBytes: 100 + day, version: `v${day}` };
  return { object, summary: null, text: Buffer.from(text), packs: packs && table.setOf(packs), isFresh: true };
}

const packsOf = (numbers: readonly number[]): string[] =>
  numbers.map((number) => `20261101T100000Z-00000000-${number}`);

describe("encodeListing()", () => {
  test("keeps manifests, the packs that they name, and marks", () => {
    const sets = [packsOf([9, 3, 4, 5]), packsOf([0, 1, 4]), [], null];
    const manifests = sets.map((packs, day) => manifestOf(day + 1, `{"day": ${day}}`, packs));
    const object = { name: "marks/x/verify-20261101T100000Z-00000000", sizeBytes: 7, version: "" };
    const marks = [{ object, facts: { at: "2026-11-01T10:00:00.000Z" } }];
    const listing = decodeListing(encodeListing({ manifests, marks }))!;
    const found = new Map(listing.manifests.map((one) => [one.object.sizeBytes - 101, one]));
    for (const [day, packs] of sets.entries()) {
      const one = found.get(day)!;
      expect(one.object).toEqual(manifests[day]!.object);
      expect(Buffer.from(one.text!).toString()).toBe(`{"day": ${day}}`);
      const names = one.packs && [...one.packs.table.namesOf(one.packs.ranges)];
      expect(names?.toSorted() ?? null).toEqual(packs?.toSorted() ?? null);
    }
    expect(listing.marks).toEqual(marks);
  });

  test("has room for the newest only", () => {
    const text = `"${"x".repeat(1024 * 1024)}"`;
    const manifests = Array.from({ length: 60 }, (_, index) => manifestOf(index + 10, text, null));
    const bytes = encodeListing({ manifests, marks: [] });
    expect(bytes.length).toBeLessThanOrEqual(CACHE_TEXT_BYTES_MAX);
    const kept = decodeListing(bytes)!.manifests.map(({ object }) => object.sizeBytes);
    expect(kept).toEqual(Array.from({ length: 47 }, (_, index) => 169 - index));
  });
});

test("decodeListing() takes nothing for a listing that is none", () => {
  const manifests = [manifestOf(1, "{}", packsOf([0, 1]))];
  const text = Buffer.from(encodeListing({ manifests, marks: [] })).toString();
  for (const [part, other] of [
    ["cache 1", "cache 2"],
    ["[0,1]", "[0,2]"],
    ["[0,1]", "[1,0]"],
    ["[0,1]", "[0]"],
    ["[0,1]", '"0"'],
    ["-00000000-1", "-00000000-0"],
    ["-00000000-1", "/../x"],
    ['"v1"', "1"],
    ["marks\n", "marks\n[1]\n"],
    ["marks\n", 'marks\n["a",1,"",{"at":1}]\n'],
  ] as const) {
    expect(text).toContain(part);
    expect(decodeListing(Buffer.from(text.replace(part, other)))).toBeNull();
  }
});
