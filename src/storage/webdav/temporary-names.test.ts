import { expect, test } from "vitest";
import { announcedName, claimName, isAnnouncementVoid, isWriterDead, newWriter, partsOf } from "./temporary-names.ts";

const NOW = Date.UTC(2026, 11, 1);
const HOUR_MS = 3_600_000;

test("newWriter() makes names that are told apart, and read back", () => {
  const writer = newWriter();
  expect(newWriter()).not.toBe(writer);
  const fileName = announcedName(writer, "cairn.json").split("/")[1]!;
  expect(partsOf(fileName)).toEqual({ object: fileName.slice(0, 16), writer });
  expect(partsOf(claimName(writer).split("/")[1]!)).toEqual({ object: "claim", writer });
  for (const other of ["", "x", `claim.${writer}x`, `claim.x${writer}`, `other.${writer}`, ".", "claim."]) {
    expect(partsOf(other)).toBe(null);
  }
});

test("isWriterDead(): by its process on this machine, elsewhere by the server's clock alone", () => {
  const alive = newWriter();
  const dead = alive.replace(/-(\d+)-(\d+)-/, "-$1-$21-");
  const elsewhere = alive.replace(/^[^-]+/, "000000000000");
  expect(isWriterDead(alive, NOW - HOUR_MS, NOW)).toBe(false);
  expect(isWriterDead(dead, NOW - HOUR_MS, NOW)).toBe(true);
  expect(isWriterDead(elsewhere, NOW - 47 * HOUR_MS, NOW)).toBe(false);
  expect(isWriterDead(elsewhere, NOW - 49 * HOUR_MS, NOW)).toBe(true);
  expect(isWriterDead(elsewhere, NOW - 49 * HOUR_MS, null)).toBe(false);
  expect(isWriterDead(elsewhere, 0, NOW)).toBe(false);
  // What a dead process asked for last may still be under way.
  expect(isAnnouncementVoid(dead, NOW - 60_000, NOW)).toBe(false);
  expect(isAnnouncementVoid(dead, NOW - HOUR_MS, NOW)).toBe(true);
  expect(isAnnouncementVoid(elsewhere, NOW - HOUR_MS, NOW)).toBe(false);
});
