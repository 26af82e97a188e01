import { describe, expect, test } from "vitest";

import { parseSelectionFlags, refusedFlags, toArguments } from "./selection-flags.ts";

const parsed = (...words: string[]): string[] => toArguments(parseSelectionFlags(words));

test("parseSelectionFlags() gives every form in the long one, a value never apart from its flag", () => {
  expect(parsed("-s", "-nfoo", "-n", "b*", "--table=x", "--table", "--file=/etc/passwd", "-b", "-B")).toEqual([
    "--schema-only",
    "--schema=foo",
    "--schema=b*",
    "--table=x",
    "--table=--file=/etc/passwd",
    "--blobs",
    "--no-blobs",
  ]);
});

describe("parseSelectionFlags() refuses what writes files, connects, runs programs or changes the format", () => {
  test.each([
    "-f",
    "--file",
    "-F",
    "-j",
    "-Z",
    "--compress",
    "-h",
    "-d",
    "--dbname",
    "-p",
    "-U",
    "-W",
    "--inserts",
    "--restrict-key",
  ])("%s", (flag) => {
    expect(() => parsed(flag, "x")).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => parsed(`${flag}${flag.startsWith("--") ? "=" : ""}x`)).toThrow(
      expect.objectContaining({ code: "usage" }),
    );
  });

  test.each([
    "--fil=x",
    "--no-such",
    "-?",
    "-V",
    "--help",
    "--version",
    "word",
    "--",
    "-",
    "",
    "--verbose",
    "--binary-upgrade",
  ])("%j", (word) => {
    expect(() => parsed(word)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  test("a zero byte, a missing value, a value too many", () => {
    expect(() => parsed("-t", "a\0b")).toThrow(/zero byte/);
    expect(() => parsed("-t")).toThrow(/needs a value/);
    expect(() => parsed("--schema-only=x")).toThrow(/takes no value/);
  });
});

test("refusedFlags() all have a reason", () => {
  for (const flag of refusedFlags()) expect(() => parsed(`--${flag.long}`)).toThrow(/makes no sense here/);
});
