import { expect, test } from "vitest";

import type { Json, RestorePoint } from "../../../repository/index.ts";
import { viewParent } from "./judge-parent.ts";

const viewOf = (incremental: Json): ReturnType<typeof viewParent> => {
  return viewParent({ id: "x", manifest: { incremental } } as unknown as RestorePoint);
};

test("viewParent() knows a distrust where nothing else was recorded, as by a run without WAL summaries", () => {
  expect(viewOf({ distrustedBecause: "a self-check failed" })).toMatchObject({
    record: null,
    distrustedBecause: "a self-check failed",
  });
});

test.each([null, 1, "text", [], {}, { distrustedBecause: 1 }])(
  "viewParent() takes %j for no record and no distrust",
  (json) => {
    expect(viewOf(json as Json)).toMatchObject({ record: null, distrustedBecause: null });
  },
);

test("viewParent() of no parent is nothing", () => {
  expect(viewParent(null)).toEqual({ restorePoint: null, record: null, distrustedBecause: null });
});
