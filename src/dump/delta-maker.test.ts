import { describe, expect, test } from "vitest";

import { DeltaMaker } from "./delta-maker.ts";
import type { FromReader } from "./reader-messages.ts";

type Asked = FromReader & { readonly type: "base-wanted" };

const lengths = { frameLengthBytes: 40_000, rawLengthBytes: 100_000 };
const line = (number: number): string => `${number} ${Math.imul(number, 2_654_435_761) >>> 0} a row of some length\n`;
const text = (from: number, to: number): Buffer =>
  Buffer.from(Array.from({ length: to - from }, (_, index) => line(from + index)).join(""));

function maker(): { deltas: DeltaMaker; asked: Asked[] } {
  const asked: Asked[] = [];
  return { deltas: new DeltaMaker((message) => asked.push(message)), asked };
}

const wanted = (offeredIndex: number): Parameters<DeltaMaker["begin"]>[0] => {
  return { taskId: 5, offeredIndex, lengths, table: "t" };
};

describe("DeltaMaker", () => {
  test("asks for a base at once, is busy with two, and tells where the text begins in it", async () => {
    const { deltas, asked } = maker();
    const [first, second] = [deltas.begin(wanted(3))!, deltas.begin(wanted(4))!];
    expect(asked).toEqual([
      { type: "base-wanted", requestId: 0, taskId: 5, offeredIndex: 3 },
      { type: "base-wanted", requestId: 1, taskId: 5, offeredIndex: 4 },
    ]);
    expect(deltas.isBusy).toBe(true);
    deltas.answer(1, text(500, 2000)); // whichever comes first
    deltas.answer(0, text(0, 2000));
    const made = await first(text(100, 2000));
    expect(made.foundAt).toBe(text(0, 100).length);
    expect(made.frame!.length).toBeLessThan(300);
    expect(deltas.isBusy).toBe(false);
    expect(await second(text(0, 2000))).toMatchObject({ foundAt: null });
  });

  test("makes none without a base, and then tries less often", async () => {
    const { deltas } = maker();
    const finish = deltas.begin(wanted(0))!;
    deltas.answer(0, null);
    expect(await finish(text(0, 2000))).toEqual({ frame: null, foundAt: null });
    expect(deltas.begin(wanted(1))).toBeNull();
    expect(deltas.begin(wanted(2))).not.toBeNull();
  });

  test("takes no row for found that is too short to tell", async () => {
    const { deltas } = maker();
    const finish = deltas.begin(wanted(0))!;
    deltas.answer(0, Buffer.from("1\n2\n3\n".repeat(1000)));
    expect(await finish(Buffer.from("2\n3\n".repeat(1000)))).toMatchObject({ foundAt: null });
  });
});
