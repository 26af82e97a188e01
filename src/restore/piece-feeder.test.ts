import fc from "fast-check";
import { expect, test } from "vitest";
import type { DataPiece } from "../archive/index.ts";
import { PieceFeeder, READ_AHEAD_PIECES_MAX } from "./piece-feeder.ts";

interface Shape {
  readonly continues: boolean;
  readonly delay: number;
}

function pieceOf(index: number, shape: Shape, onLoad: () => void): DataPiece {
  const load = async (): Promise<Uint8Array> => {
    onLoad();
    for (let turn = 0; turn < shape.delay; turn += 1) await Promise.resolve();
    return Uint8Array.of(index);
  };
  const loadFrame = async (): Promise<never> => Promise.reject(new Error("not used"));
  return { rawLengthBytes: 1, rowCount: 1, continues: shape.continues, load, loadFrame };
}

test("PieceFeeder gives each piece once, keeps a row's pieces together, and reads ahead in bounds", async () => {
  const shapes = fc.array(fc.record({ continues: fc.boolean(), delay: fc.nat(5) }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(shapes, fc.integer({ min: 1, max: 4 }), async (given, takerCount) => {
      const last = given.length - 1;
      const all = given.map((shape, index) => ({ ...shape, continues: shape.continues && index < last }));
      let loaded = 0;
      let taken = 0;
      async function* source(): AsyncGenerator<DataPiece> {
        for (const [index, shape] of all.entries()) yield pieceOf(index, shape, () => (loaded += 1));
      }
      const feeder = new PieceFeeder(source);
      const received = await Promise.all(
        Array.from({ length: takerCount }, async () => {
          const mine: number[] = [];
          const taker = {};
          for (let bytes = await feeder.take(taker); bytes !== null; bytes = await feeder.take(taker)) {
            taken += 1;
            mine.push(bytes[0] as number);
            expect(loaded - taken).toBeLessThanOrEqual(READ_AHEAD_PIECES_MAX + takerCount);
          }
          return mine;
        }),
      );
      expect(received.flat().toSorted((one, other) => one - other)).toEqual(all.map((_, index) => index));
      for (const mine of received) {
        expect(mine).toEqual(mine.toSorted((one, other) => one - other));
        for (const index of mine) if (all[index]?.continues) expect(mine).toContain(index + 1);
      }
      expect(feeder.expectedRows).toBe(all.length);
      await feeder.close();
    }),
  );
});

test("PieceFeeder throws the source's error to every taker", async () => {
  const feeder = new PieceFeeder(async function* () {
    yield pieceOf(0, { continues: false, delay: 0 }, () => {});
    throw new Error("broken source");
  });
  await feeder.take({}).catch(() => {});
  await expect(feeder.take({})).rejects.toThrow("broken source");
  await expect(feeder.take({})).rejects.toThrow("broken source");
});
