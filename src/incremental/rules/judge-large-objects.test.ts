// Large objects are taken over only where nothing of pg_largeobject can have changed: one case for each condition.

import { expect, test } from "vitest";

import type { LargeObjectVerdict, RelationShape, TouchedFile } from "../types.ts";
import { judgeLargeObjects } from "./judge-large-objects.ts";
import { LARGE_OBJECTS, SEGMENT } from "./rules.fixture.ts";
import { touchedBlocks } from "./touched-blocks.ts";

interface Case {
  readonly past?: Partial<RelationShape> | null;
  readonly now?: Partial<RelationShape> | null;
  readonly touched?: Partial<TouchedFile>;
}

function judged({ past = {}, now = {}, touched }: Case): LargeObjectVerdict {
  const { tablespaceOid, filenode } = LARGE_OBJECTS;
  const files = touched && [{ tablespaceOid, filenode, limitBlock: null, segmentIndexes: [], ...touched }];
  const shapeOf = (change: Partial<RelationShape> | null): RelationShape | null =>
    change && { ...LARGE_OBJECTS, ...change };
  return judgeLargeObjects(shapeOf(past), shapeOf(now), touchedBlocks(files ?? []), SEGMENT);
}

test("judgeLargeObjects() takes them over when nothing touched pg_largeobject", () => {
  expect(judged({})).toEqual({ kind: "take-over" });
  expect(judged({ touched: { filenode: 7, segmentIndexes: [0], limitBlock: 0 } })).toEqual({ kind: "take-over" });
});

test.each<[string, Case, string]>([
  ["nothing recorded", { past: null }, "the parent did not record how pg_largeobject was stored"],
  ["nothing known", { now: null }, "how pg_largeobject is stored could not be found out"],
  ["a touched block", { touched: { segmentIndexes: [0] } }, "pg_largeobject: touched since the parent's base"],
  ["one of its last", { touched: { segmentIndexes: [9] } }, "pg_largeobject: touched since the parent's base"],
  ["a tail cut off", { touched: { limitBlock: 699 } }, "pg_largeobject: cut off since the parent's base"],
  [
    "a file made",
    { touched: { limitBlock: 0 } },
    "pg_largeobject: its file was made or emptied since the parent's base",
  ],
  [
    "a database moved",
    { touched: { filenode: 0 } },
    "pg_largeobject: the database was made, or moved between tablespaces",
  ],
  ["another file", { now: { filenode: 7 } }, "pg_largeobject: it was rewritten (another file)"],
  ["another tablespace", { now: { tablespaceOid: 7 } }, "pg_largeobject: it is in another tablespace"],
  [
    "another length",
    { now: { blockCount: 701 } },
    "pg_largeobject: the last segment then or now, and the length changed",
  ],
  [
    "a segment more",
    { past: { blockCount: 500 } },
    "pg_largeobject: the last segment then or now, and the length changed",
  ],
  ["other columns", { now: { columnFingerprint: "ff".repeat(32) } }, "pg_largeobject: its columns changed"],
  ["an objection", { now: { alwaysReadBecause: "it is not a table" } }, "pg_largeobject: it is not a table"],
])("judgeLargeObjects() reads them all after %s", (_, change, reason) => {
  expect(judged(change)).toEqual({ kind: "read-all", reason });
});
