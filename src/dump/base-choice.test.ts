import { describe, expect, test } from "vitest";

import { BaseChoice, DeltaTrials } from "./base-choice.ts";
import type { OfferedChunk } from "./data-sink.ts";

const id = (number: number): Uint8Array => Buffer.alloc(32, number);

function offered(number: number, rawLengthBytes: number, isUsable = true): OfferedChunk {
  return { id: id(number), rawLengthBytes, base: isUsable ? { frameLengthBytes: 10, rawLengthBytes } : null };
}

describe("BaseChoice", () => {
  const three = [offered(1, 100), offered(2, 100), offered(3, 100)];

  test("takes chunks to stand where the parent's stood", () => {
    const choice = new BaseChoice(three);
    expect([choice.choose(100), choice.choose(100), choice.choose(100), choice.choose(100)]).toEqual([0, 1, 2, null]);
  });

  test("takes the one with the longest stretch in common", () => {
    const choice = new BaseChoice(three);
    expect(choice.choose(60)).toBe(0); // 0 to 60
    expect(choice.choose(100)).toBe(1); // 60 to 160
    expect(choice.choose(90)).toBe(2); // 160 to 250
  });

  test("finds its place again by a chunk that is equal", () => {
    const choice = new BaseChoice(three);
    expect(choice.choose(30)).toBe(0); // nearly all of the first chunk is gone
    choice.passEqual(id(2), 100);
    expect(choice.choose(100)).toBe(2);
  });

  test("goes on from where it was after an equal chunk that was not offered", () => {
    const choice = new BaseChoice(three);
    choice.passEqual(id(9), 100);
    expect(choice.choose(100)).toBe(1);
  });

  test("passes over what cannot be leant on", () => {
    const choice = new BaseChoice([offered(1, 100), offered(2, 100, false), offered(3, 100)]);
    choice.choose(100);
    expect(choice.choose(110)).toBe(2);
    expect(new BaseChoice([offered(1, 100, false)]).choose(100)).toBeNull();
    expect(new BaseChoice([]).choose(100)).toBeNull();
  });
});

describe("DeltaTrials", () => {
  /** How many chunks are passed over before the next trial. */
  function passedOver(trials: DeltaTrials): number {
    for (let count = 0; ; count += 1) if (trials.isWanted("t")) return count;
  }

  test("passes over more and more where trials are refused, up to a limit, until one pays", () => {
    const trials = new DeltaTrials();
    const counts = [passedOver(trials)];
    for (let refusal = 0; refusal < 6; refusal += 1) {
      trials.tried(false);
      counts.push(passedOver(trials));
    }
    expect(counts).toEqual([0, 1, 3, 7, 15, 15, 15]);
    trials.tried(true);
    expect(passedOver(trials)).toBe(0);
    trials.tried(false);
    expect(passedOver(trials)).toBe(1);
  });

  test("begins anew with another table", () => {
    const trials = new DeltaTrials();
    trials.isWanted("t");
    trials.tried(false);
    expect(trials.isWanted("u")).toBe(true);
    expect(trials.isWanted("t")).toBe(true);
  });
});
