import { expect, test } from "vitest";
import type { OperationContext } from "../operation.ts";
import { runPrune } from "./prune.ts";

test.each([0, 3_599_999, Number.NaN])(
  "runPrune() refuses a grace of %d ms before it opens anything",
  async (graceMs) => {
    const settings = { graceMs, unusedFractionMax: 0, isDryRun: false, isWaiting: false, repository: null as never };
    await expect(runPrune({} as OperationContext, settings)).rejects.toMatchObject({ code: "usage" });
  },
);
