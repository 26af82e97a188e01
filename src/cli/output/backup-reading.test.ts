import { expect, test } from "vitest";

import type { ReadingFacts } from "../../operations/backup/incremental/types.ts";
import { readingFields, readingLines } from "./backup-reading.ts";
import { backupReceipt } from "./sample-results.fixture.ts";

const reading: ReadingFacts = { ...backupReceipt.reading, allReadBecause: null };

/** The text beside that name. */
function textOf(facts: ReadingFacts, name: string): string | null | undefined {
  return readingFields(facts).find(([title]) => title === name)?.[1];
}

test.each([
  [null, null],
  [{ takenOverCount: 1206, readBecause: {} }, "1,206 not read, taken over from the parent"],
  [{ takenOverCount: 0, readBecause: { "it was touched": 3 } }, "3 read: it was touched"],
  [{ takenOverCount: 5, readBecause: { others: 3 } }, "5 not read, taken over from the parent; 3 read: others"],
])("readingFields() says what became of large objects: %j", (largeObjects, text) => {
  expect(textOf({ ...reading, largeObjects }, "  large objects")).toBe(text);
});

test("readingFields() says nothing of them where everything was read for one reason", () => {
  expect(textOf(backupReceipt.reading, "  large objects")).toBeNull();
});

test("a self-check tells how many large objects it compared, and of which it found others", () => {
  const differences = [{ firstOid: 7, lastOid: 7 }, { firstOid: 2048, lastOid: 3000 }]; // prettier-ignore
  const selfCheck = {
    comparedSegmentCount: 1,
    comparedLargeObjectCount: 40,
    differenceCount: 3,
    differences: [{ table: "public.t", firstBlock: 512, blockCount: null }],
    largeObjectDifferences: differences,
  };
  const facts = { ...reading, selfCheck };
  const texts = readingFields(facts).map(([, text]) => text);
  expect(texts).toContain("everything was read to compare: 1 segment and 40 large objects compared");
  const lines = readingLines(facts).join("\n");
  for (const text of ["public.t, blocks 512 to the end", "large object 7", "large objects 2048 to 3000"]) {
    expect(lines).toContain(text);
  }
  expect(lines).not.toContain("more");
});
