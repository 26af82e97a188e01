import { expect, test } from "vitest";

import { planTable, type TablePlan } from "../../dump/segment-plan.ts";
import type { Run } from "../../repository/index.ts";
import { RepositorySink } from "./repository-sink.ts";

/** A run without a parent whose lists take a while to add a segment, as when a page of the list is full. */
function slowRun(): { run: Run; added: number[]; finishedCount: () => number } {
  const added: number[] = [];
  let finished = 0;
  const list = {
    add: async ({ firstBlock }: { firstBlock: number }) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      added.push(firstBlock);
    },
    finish: async () => {
      finished += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { list: [], rowCount: 0 };
    },
  };
  const run = { parent: null, openSegmentList: () => list, openLargeObjectList: () => list } as unknown as Run;
  return { run, added, finishedCount: () => finished };
}

function planOfSegments(segmentCount: number): TablePlan {
  const relation = {
    oid: 1,
    namespace: "public",
    name: "t",
    kind: "r",
    persistence: "p",
    accessMethod: "heap",
    tablespaceOid: 0,
    filenode: 1,
    blockCount: segmentCount,
  };
  return planTable({ dumpId: 1, relation, copyStatement: "COPY public.t (a) TO stdout;" }, 18, 1);
}

test("a table whose last segments end at nearly the same time has one record", async () => {
  const { run, added, finishedCount } = slowRun();
  const sink = new RepositorySink(run, "zstd");
  const plan = planOfSegments(4);
  for (const index of plan.segments.keys()) await sink.knownTableChunks(plan, index);
  await Promise.all([2, 0, 1, 3].map((index) => sink.segmentDone(plan, index, 0)));
  expect(added).toEqual([0, 1, 2, 3]);
  expect(finishedCount()).toBe(1);
  expect(sink.relations.length).toBe(1);
});
