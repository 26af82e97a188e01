import { expect, test } from "vitest";

import type { TocEntry } from "../archive/index.ts";
import type { RestorePoint } from "../repository/index.ts";
import { RestorePointContents } from "./restore-point-contents.ts";

/** The contents of a restore point whose lists are given, whatever its records say. */
function contentsOf(parts: object): RestorePointContents {
  const restorePoint = parts as unknown as RestorePoint;
  const make = RestorePointContents as unknown as new (point: RestorePoint, toc: object) => RestorePointContents;
  return new make(restorePoint, { entries: [] });
}

async function* listOf<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const entry = { dumpId: 7, description: "TABLE DATA", tag: "t" } as TocEntry;

test("a list with fewer rows than its record is an error, not a smaller table", async () => {
  const segment = { rowCount: 3, chunks: [] };
  const contents = (rowCount: number): RestorePointContents =>
    contentsOf({ findRelation: () => ({ rowCount }), segments: () => listOf(segment, segment) });
  await drain(contents(6).tableData(entry));
  await expect(drain(contents(9).tableData(entry))).rejects.toMatchObject({
    code: "corrupt",
    message: 'the restore point has 6 of 9 rows for TABLE DATA "t"',
  });
});

test("a list with fewer large objects than its record is an error", async () => {
  const shared = { kind: "shared", chunk: {}, objects: [{ oid: 1, lengthBytes: 0 }] };
  const own = { kind: "own", oid: 2, lengthBytes: 4, chunks: [] };
  const more = { ...own, lengthBytes: 0, continuesPrevious: true };
  const contents = (objectCount: number): RestorePointContents =>
    contentsOf({
      manifest: { largeObjects: [{ dumpId: 7, objectCount }] },
      largeObjects: () => listOf<object>(shared, own, more),
    });
  await drain(contents(2).largeObjects(entry));
  await expect(drain(contents(3).largeObjects(entry))).rejects.toMatchObject({ code: "corrupt" });
});
