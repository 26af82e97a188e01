// Incremental reading as the command shows it: killed on the way, explained, of a whole server.

import { fileURLToPath, pathToFileURL } from "node:url";

import { expect, test } from "vitest";

import { FaultBench } from "../faults/support.ts";
import { IncrementalBench, SAMPLE, SEGMENT_COUNT } from "./support.ts";

const hook = pathToFileURL(fileURLToPath(new URL("../faults/kill-hook.ts", import.meta.url))).href;

test("cairn backup: a kill leaves the parent whole; --explain prints why; --cluster passes the options on", async () => {
  await using server = await IncrementalBench.startServer(18);
  const source = await server.createDatabase("shop");
  await source.psql(`${SAMPLE} CHECKPOINT;`);
  await using bench = await FaultBench.create();
  const words = ["backup", source.uri, "--checkpoint", "now"];
  const first = (await bench.succeeds([...words, "--json"])).json();
  expect(first.reading).toMatchObject({ takenOverSegmentCount: 0, noParentBecause: null, explanation: null });

  await source.psql("UPDATE item SET word = 'changed' WHERE id = 1");
  const environment = { NODE_OPTIONS: `--import ${hook}`, KILL_AT: "manifest written" };
  expect(await bench.run(words, { environment })).toMatchObject({ signal: "SIGKILL" });
  expect((await bench.list()).restorePoints.map(({ id }) => id)).toEqual([first.id]);
  expect(await bench.verify(first.id)).toMatchObject({ isIntact: true });

  const { output } = await bench.succeeds([...words, "--explain"]);
  expect(output).toMatch(
    /^read +1 segment, .* of plain text\n  not read +3 segments, .*, taken over from the parent$/m,
  );
  expect(output).toMatch(/^  waited +for WAL summaries: .* before the reading, a checkpoint was asked for$/m);
  expect(output).toMatch(
    new RegExp(`^  parent +${first.id}, base [0-9A-F]+/[0-9A-F]+, seal [0-9A-F]+/[0-9A-F]+$`, "m"),
  );
  expect(output).toMatch(
    /^public\.item +3 +2 +\d[\d.,]* [KM]iB {2}touched since the parent's base \(1\)\npublic\.kind +1 +1 +0 B$/m,
  );

  const all = ["backup", server.uri("postgres"), "--cluster", "--checkpoint", "now", "--json"];
  const cluster = (await bench.succeeds(all)).json();
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON
  const shop = cluster.databases.find((one: any) => one.databaseName === "shop").receipt;
  expect(shop.reading).toMatchObject({ allReadBecause: null, takenOverSegmentCount: SEGMENT_COUNT });
  expect(shop.reading.waited.isCheckpointMade).toBe(true);
});
