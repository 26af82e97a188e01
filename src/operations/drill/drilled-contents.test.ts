// DrilledContents leaves out the rows of foreign tables, by name, and nothing else.

import { expect, test } from "vitest";
import type { TocEntry } from "../../archive/index.ts";
import type { RestorePointContents } from "../restore-point-contents.ts";
import { DrilledContents } from "./drilled-contents.ts";

test("DrilledContents does not load what a restore would write to another server", () => {
  const entry = (description: string, namespace: string, tag: string): TocEntry =>
    ({ description, namespace, tag }) as TocEntry;
  const entries = [
    entry("FOREIGN TABLE", "a", "t"),
    entry("TABLE", "b", "t"),
    entry("TABLE DATA", "a", "t"),
    entry("TABLE DATA", "b", "t"),
  ];
  const contents = new DrilledContents({ toc: { entries } } as unknown as RestorePointContents);
  expect(contents.toc.entries).toEqual([entries[0], entries[1], entries[3]]);
  expect(contents.notCompared).toEqual([
    { name: "TABLE DATA a.t", reason: "the rows of a foreign table are not loaded: that would write to its server" },
  ]);
});
