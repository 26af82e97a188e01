import { expect, test } from "vitest";

import { parseListFile } from "./parse-list-file.ts";

test("parseListFile() takes the dump ids in the file's order", () => {
  const text = ";\n; Archive created at …\n\n12; 1259 3 TABLE public b postgres\n  7 ; x\r\n;9; 1 2 TABLE c d\n3\n";
  expect(parseListFile(text)).toEqual({ dumpIds: [12, 7, 3], ignoredLines: [] });
});

test("parseListFile() ignores what is no new dump id, and says so", () => {
  const { dumpIds, ignoredLines } = parseListFile("5\nfive; 1\n5; again\n-3\n0\n99\n+6", 50);
  expect(dumpIds).toEqual([5, 6]);
  expect(ignoredLines.map(({ lineNumber }) => lineNumber)).toEqual([2, 3, 4, 5, 6]);
});
