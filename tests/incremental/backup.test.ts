// cairn backup reads only the segments that can have changed.

import { afterAll, beforeAll, expect, test } from "vitest";

import type { OwnServer } from "../support/servers.ts";
import { IncrementalBench, SEGMENT_COUNT } from "./support.ts";

let server: OwnServer;

beforeAll(async () => {
  server = await IncrementalBench.startServer(18);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test("backup reads what was touched, and nothing when nothing was", async () => {
  await using bench = await IncrementalBench.on(server);
  const first = await bench.backup();
  expect(first.reading).toMatchObject({
    takenOverSegmentCount: 0,
    allReadBecause: "it is the first restore point of its lineage",
    noParentBecause: null,
  });
  const segmentCount = first.reading.readSegmentCount;
  expect(segmentCount).toBe(SEGMENT_COUNT + 1);

  const unchanged = await bench.backup();
  expect(unchanged.reading).toMatchObject({
    readSegmentCount: 0,
    takenOverSegmentCount: segmentCount,
    readRawBytes: 0,
  });
  await bench.expectEqual(unchanged.id);

  await bench.source.psql("UPDATE item SET word = 'changed' WHERE ctid = '(700,1)'");
  const third = await bench.backup();
  expect(third.reading).toMatchObject({ readSegmentCount: 1, takenOverSegmentCount: segmentCount - 1 });
  await bench.expectEqual(third.id);
});
