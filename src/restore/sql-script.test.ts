import { expect, test } from "vitest";

import type { Toc, TocEntry } from "../archive/index.ts";
import { sqlScript } from "./sql-script.ts";

const EVIL = "18.6\n\\! touch /tmp/owned\r\n\\! again";

function toc(entries: readonly TocEntry[]): Toc {
  const createdAt = { second: 0, minute: 0, hour: 0, monthDay: 1, month: 0, yearsSince1900: 126, isDst: 0 };
  const header = {
    version: "1.16",
    format: "tar",
    intSizeBytes: 4,
    offsetSizeBytes: 8,
    compression: "none",
    compressionLevel: -1,
    createdAt,
    databaseName: "db",
    serverVersion: EVIL,
    pgDumpVersion: EVIL,
  } as const;
  return { header, textEncoding: "utf8", entries };
}

function hostileEntry(): TocEntry {
  return {
    dumpId: 1,
    hadDumper: false,
    catalogId: { tableOid: 0, oid: 0 },
    tag: EVIL,
    description: `TABLE${EVIL}`,
    section: "pre-data",
    definition: "SELECT 1;\n",
    dropStatement: "",
    copyStatement: "",
    namespace: null,
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: EVIL,
    dependencies: [],
  };
}

test("nothing that stands in a comment of the script ends its line", async () => {
  const none = async function* (): AsyncGenerator<never, void, void> {};
  const contents = { toc: toc([hostileEntry()]), tableData: none, largeObjects: none };
  let text = "";
  for await (const bytes of sqlScript(contents, { restrictKey: null })) text += Buffer.from(bytes).toString();
  expect(text).toContain("-- Dumped from database version 18.6 \\! touch");
  expect(text).toContain("-- Dumped by pg_dump version 18.6 \\! touch");
  expect(text).toMatch(/^-- Name: 18\.6 .*; Type: TABLE18\.6 /m);
  expect(text).not.toMatch(/^\\!/m);
});
