import { expect, test } from "vitest";

import type { Toc, TocEntry } from "../../archive/index.ts";
import { planDatabaseEntries } from "./database-entries.ts";

function entry(dumpId: number, description: string, tag: string): TocEntry {
  return {
    dumpId,
    hadDumper: false,
    catalogId: { tableOid: 0, oid: 0 },
    tag,
    description,
    section: ["ACL", "COMMENT", "SECURITY LABEL"].includes(description) ? "none" : "pre-data",
    definition: `${description};\n`,
    dropStatement: "",
    copyStatement: "",
    namespace: null,
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: "joe",
    dependencies: [],
  };
}

test("planDatabaseEntries() takes what is of the database, not what is only named like it", () => {
  const createdAt = { second: 0, minute: 0, hour: 0, monthDay: 1, month: 0, yearsSince1900: 126, isDst: 0 };
  const header: Toc["header"] = {
    version: "1.16",
    format: "custom",
    intSizeBytes: 4,
    offsetSizeBytes: 8,
    compression: "none",
    compressionLevel: -1,
    createdAt,
    databaseName: "db",
    serverVersion: "18.6",
    pgDumpVersion: "18.6",
  };
  const kinds = ["TABLE", "VIEW", "SEQUENCE"];
  const entries = [
    entry(1, "DATABASE", "x"),
    entry(2, "DATABASE PROPERTIES", "x"),
    entry(3, "ACL", "DATABASE x"),
    entry(4, "COMMENT", "DATABASE x"),
    entry(5, "SECURITY LABEL", "DATABASE x"),
    entry(6, "COMMENT", "TABLE x"),
    ...kinds.map((kind, index) => entry(10 + index, kind, "DATABASE x")),
  ];
  const plan = planDatabaseEntries({ header, textEncoding: "utf8", entries }, 180_000);
  expect(plan.create.map(({ entry: { dumpId } }) => dumpId)).toEqual([1]);
  expect(plan.properties.map(({ entry: { dumpId } }) => dumpId).toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5]);
});
