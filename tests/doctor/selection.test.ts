// What doctor believes that pg_dump's selection flags choose, held against what pg_dump chooses; and restore hazards.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { inTransaction } from "../../src/dump/preflight/check.ts";
import { selectRelations } from "../../src/dump/preflight/selected-relations.ts";
import { parseSelectionFlags } from "../../src/dump/index.ts";
import { loadDatabase } from "../support/databases.ts";
import { runTool, server } from "../support/servers.ts";
import type { TestDatabase } from "../support/servers.ts";
import { doctor, found, sessionOn } from "./support.ts";

const FLAGS: readonly string[][] = [
  [],
  ["-s"],
  ["-a"],
  ["--section=pre-data"],
  ["-n", "torture"],
  ["-n", "tor*", "-N", "torture2"],
  ["-N", "tort*"],
  ["-t", "torture.i*"],
  ["-t", 'torture."*"', "-t", "many.t1?"],
  ["-t", "torture.*", "-T", "torture.i*"],
  ["-t", "torture.part*"],
  ["-T", "torture.ids"],
  ["-T", "torture.*seq*"],
  ["-t", '"odd schéma".*'],
  ["-n", '"odd schéma"', "--exclude-table-data", '"odd schéma".*line*'],
  ["--exclude-table-data", "torture.p*"],
  ["--no-unlogged-table-data"],
  ["-t", "torture.(ids|part)[_a-z]*"],
  ["-t", "torture.seq_*"],
];

describe.each([13, 18] as const)("doctor on PostgreSQL %i with torture.sql", (major) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await loadDatabase(await server(major), "torture", { variables: { hazards: "1" } });
  });
  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
  });

  test.each(FLAGS.map((flags) => [flags.join(" "), flags] as const))(
    "selectRelations(%s) chooses what pg_dump chooses",
    async (_, flags) => {
      const { tools } = database.server;
      const archive = await listArchive(tools, database.uri, flags);
      await using session = await sessionOn(database.uri);
      const chosen = await inTransaction(session, undefined, (ask) => selectRelations(ask, parseSelectionFlags(flags)));
      expect(chosen.dataOids.map(String).toSorted()).toEqual(archive("TABLE DATA").toSorted());
      // SEQUENCE SET entries have no OID.
      expect(chosen.sequenceOids).toHaveLength(archive("SEQUENCE SET").length);
      expect(chosen.includesLargeObjects).toBe(archive("BLOBS").length > 0);
      if (flags.includes("-a")) return;
      const sequences = new Set(archive("SEQUENCE"));
      if (!flags.includes("--exclude-table-data") && chosen.sequenceOids.length === sequences.size)
        expect(new Set(chosen.sequenceOids.map(String))).toEqual(sequences);
      const kept = "relkind IN ('r', 'p') AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')";
      const tables = new Set((await database.psql(`SELECT oid FROM pg_class WHERE ${kept}`)).split("\n"));
      expect(
        chosen.tableOids
          .map(String)
          .filter((oid) => tables.has(oid))
          .toSorted(),
      ).toEqual(
        archive("TABLE")
          .filter((oid) => tables.has(oid))
          .toSorted(),
      );
    },
  );

  test("doctor names the two hazards of a restore, and nothing else", async () => {
    const report = await doctor(database.uri);
    const path = found(report, "restore-search-path");
    expect(path.map(({ message }) => message)).toEqual([
      "a restore is likely to fail at CHECK constraint hazard_ck_t_check of torture.hazard_ck: " +
        "function torture.hazard_path names function norm without a schema",
    ]);
    const order = found(report, "restore-order");
    expect(order.map(({ message }) => message)).toEqual([
      "a restore may fail at CHECK constraint hazard_check_id_check of torture.hazard_check: " +
        "function torture.hazard_other_table reads torture.zz_hazard_late",
    ]);
    expect(found(report, "unchecked")).toEqual([]);
    for (const statement of path[0]!.statements!) await database.psql(statement);
    expect(found(await doctor(database.uri), "restore-search-path")).toEqual([]);
  });

  test("doctor says when a pattern matches nothing", async () => {
    const report = await doctor(database.uri, { selection: ["-t", "nosuch*"] });
    expect(found(report, "selection-empty")).toHaveLength(1);
  });
});

/** OIDs of pg_dump's entries by their description. */
async function listArchive(
  tools: TestDatabase["server"]["tools"],
  source: string,
  flags: readonly string[],
): Promise<(description: string) => string[]> {
  const script = '"$0" -Fc -Z0 -d "$2" "${@:3}" | "$1" --list';
  const text = await runTool("bash", ["-c", script, tools.pgDump, tools.pgRestore, source, ...flags]);
  const pattern = /^\d+; \d+ (\d+) (TABLE DATA|TABLE ATTACH|SEQUENCE SET|SEQUENCE OWNED BY|BLOBS|TABLE|SEQUENCE) /gm;
  const entries = [...text.matchAll(pattern)];
  return (description) => entries.filter((match) => match[2] === description).map((match) => match[1]!);
}
