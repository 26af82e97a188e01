import { zstdDecompressSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { makeFrame } from "./chunk-maker.ts";
import { deltaLengthMax, makeDelta } from "./delta-frame.ts";

const ROW_COUNT = 20_000;

/** Text that does not compress away: about 2 MiB. */
function rows(from: number, count: number, seed = 1): string[] {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state;
  };
  const words = (): string => Array.from({ length: 8 }, () => next().toString(36)).join(" ");
  return Array.from({ length: count }, (_, index) => `${from + index}\t2026-11-22 10:00:00+00\tview\t${words()}\n`);
}

const bytes = (lines: readonly string[]): Uint8Array => Buffer.from(lines.join(""));

function full(text: Uint8Array): Uint8Array {
  return makeFrame({ algorithm: "zstd", level: 3 }, text);
}

describe("makeDelta()", () => {
  const parent = rows(1, ROW_COUNT);
  const base = bytes(parent);
  const others = rows(ROW_COUNT, ROW_COUNT, 7);

  test("takes what both have in common from the base, wherever it stands", () => {
    const kept = parent.filter((_, index) => index % 100 !== 3);
    const moved = others.filter((_, index) => index % 100 === 3);
    for (const text of [bytes(kept), bytes([...kept, ...moved]), bytes([...moved, ...kept])]) {
      const frame = full(text);
      const delta = makeDelta(text, base, Math.floor(frame.length / 4));
      expect(delta).not.toBeNull();
      expect(delta!.length).toBeLessThan(frame.length * 0.02);
      expect(delta!.buffer.byteLength).toBe(delta!.length); // crosses threads as it is
      expect(zstdDecompressSync(delta!, { dictionary: base }).equals(text)).toBe(true);
      expect(() => zstdDecompressSync(delta!)).toThrow("Data corruption");
    }
  });

  test("gives up where the delta would be longer than it may", () => {
    const text = bytes(others);
    expect(makeDelta(text, base, deltaLengthMax(text.length, lengthsOf(base)))).toBeNull();
    expect(makeDelta(base, base, 32)).toBeNull();
    const half = bytes([...parent.slice(0, ROW_COUNT / 2), ...others.slice(0, ROW_COUNT / 2)]);
    const exact = makeDelta(half, base, half.length)!;
    expect(makeDelta(half, base, exact.length)).toEqual(exact);
    expect(makeDelta(half, base, exact.length - 1)).toBeNull();
  });

  test("takes no base that zstd would take for a dictionary of its own, nor one that is too short or too long", () => {
    const text = bytes(parent);
    const magic = Buffer.concat([Buffer.from("37a430ec", "hex"), base]);
    expect(makeDelta(text, magic, text.length)).toBeNull();
    expect(makeDelta(text, magic.subarray(1), text.length)).not.toBeNull();
    expect(makeDelta(text, new Uint8Array(3), text.length)).toBeNull();
    expect(makeDelta(text, new Uint8Array(9 << 20), text.length)).toBeNull();
    expect(makeDelta(new Uint8Array(9 << 20), base, text.length)).toBeNull();
  });

  test("is decoded with its base into its text, whatever both are", () => {
    const piece = fc.uint8Array({ minLength: 64, maxLength: 4096 });
    const texts = fc.array(piece, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(texts, texts, fc.array(fc.nat({ max: 7 })), (own, before, shared) => {
        const dictionary = Buffer.concat(before);
        const text = Buffer.concat([...own, ...shared.map((index) => before[index % before.length]!)]);
        const delta = makeDelta(text, dictionary, 2 * text.length + 128);
        return delta !== null && zstdDecompressSync(delta, { dictionary }).equals(text);
      }),
    );
  });
});

describe("deltaLengthMax()", () => {
  test("is a quarter of what a full frame of the text would have, going by the base's", () => {
    expect(deltaLengthMax(1000, { frameLengthBytes: 400, rawLengthBytes: 1000 })).toBe(100);
    expect(deltaLengthMax(500, { frameLengthBytes: 400, rawLengthBytes: 1000 })).toBe(50);
    expect(deltaLengthMax(500, { frameLengthBytes: 16, rawLengthBytes: 0 })).toBe(0);
  });
});

function lengthsOf(base: Uint8Array): { frameLengthBytes: number; rawLengthBytes: number } {
  return { frameLengthBytes: full(base).length, rawLengthBytes: base.length };
}
