import { describe, expect, test } from "vitest";

import { BaseChoice, DeltaTrials } from "./base-choice.ts";
import type { OfferedChunk } from "./data-sink.ts";

const id = (number: number): Uint8Array => Buffer.alloc(32, number);

function offered(number: number, rawLengthBytes: number, isUsable = true): OfferedChunk {
  return { id: id(number), rawLengthBytes, base: isUsable ? { frameLengthBytes: 10, rawLengthBytes } : null };
}

/** The index of the chosen chunk. */
function take(choice: BaseChoice, lengthBytes: number): number | null {
  return choice.choose(lengthBytes)?.index ?? null;
}

describe("BaseChoice", () => {
  const three = [offered(1, 100), offered(2, 100), offered(3, 100)];

  test("takes chunks to stand where the parent's stood", () => {
    const choice = new BaseChoice(three);
    expect([take(choice, 100), take(choice, 100), take(choice, 100), take(choice, 100)]).toEqual([0, 1, 2, null]);
  });

  test("takes the one with the longest stretch in common", () => {
    const choice = new BaseChoice(three);
    expect(take(choice, 60)).toBe(0); // 0 to 60
    expect(take(choice, 100)).toBe(1); // 60 to 160
    expect(take(choice, 90)).toBe(2); // 160 to 250
  });

  test("finds its place again by a chunk that is equal", () => {
    const choice = new BaseChoice(three);
    expect(take(choice, 30)).toBe(0); // nearly all of the first chunk is gone
    choice.passEqual(id(2), 100);
    expect(take(choice, 100)).toBe(2);
  });

  test("finds its place again by where a chunk was found, once, however late it is told", () => {
    const ten = Array.from({ length: 10 }, (_, index) => offered(index, 100));
    const choice = new BaseChoice(ten);
    const first = choice.choose(100)!;
    const second = choice.choose(100)!; // before it, 50 bytes are gone
    const third = choice.choose(100)!;
    choice.foundAt(first, 0);
    choice.foundAt(second, 50);
    choice.foundAt(third, 50);
    expect(take(choice, 100)).toBe(3); // 350 to 450
    choice.passEqual(id(7), 100);
    choice.foundAt(third, 50);
    expect(take(choice, 100)).toBe(8);
  });

  test("goes on from where it was after an equal chunk that was not offered", () => {
    const choice = new BaseChoice(three);
    choice.passEqual(id(9), 100);
    expect(take(choice, 100)).toBe(1);
  });

  test("passes over what cannot be leant on", () => {
    const choice = new BaseChoice([offered(1, 100), offered(2, 100, false), offered(3, 100)]);
    choice.choose(100);
    expect(take(choice, 110)).toBe(2);
    expect(take(new BaseChoice([offered(1, 100, false)]), 100)).toBeNull();
    expect(take(new BaseChoice([]), 100)).toBeNull();
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
