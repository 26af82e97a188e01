import { expect, test } from "vitest";

import { GIB, MIB } from "../../../base/units.ts";
import { notWaitedBecause, waitBefore, waitForSeal, type WaitSituation } from "./wait-choice.ts";

const MINUTE_MS = 60_000;
const SMALL: WaitSituation = { checkpoint: null, bytes: 50 * MIB, dueInMs: 4 * MINUTE_MS, isStandby: false };

test("notWaitedBecause() waits as it is told, and without a word where a checkpoint is due in time", () => {
  for (const checkpoint of ["wait", "now"] as const) {
    expect(notWaitedBecause({ ...SMALL, checkpoint, dueInMs: 60 * MINUTE_MS })).toBeNull();
    expect(notWaitedBecause({ ...SMALL, checkpoint, bytes: 0 })).toBeNull();
  }
  expect(notWaitedBecause({ ...SMALL, checkpoint: "none", bytes: 100 * GIB })).toMatch(/^with --checkpoint none/);
  expect(notWaitedBecause(SMALL)).toBeNull();
  expect(notWaitedBecause({ ...SMALL, dueInMs: null })).toBeNull();
  expect(notWaitedBecause({ ...SMALL, dueInMs: 6 * MINUTE_MS })).toBeNull();
  expect(notWaitedBecause({ ...SMALL, dueInMs: 6 * MINUTE_MS + 1 })).toBe(
    "the next timed checkpoint is due in 6 min 00 s only; --checkpoint now asks for one",
  );
  expect(notWaitedBecause({ ...SMALL, bytes: 0 })).toBe("there are no rows to be waited for");
});

test("notWaitedBecause() waits for much even where none is due in time, and of a whole server for nothing else", () => {
  expect(notWaitedBecause({ ...SMALL, bytes: GIB, dueInMs: 30 * MINUTE_MS })).toBeNull();
  const oneOfMany = { ...SMALL, checkpoint: "where much is read" } as const;
  expect(notWaitedBecause({ ...oneOfMany, bytes: GIB })).toBeNull();
  expect(notWaitedBecause({ ...oneOfMany, bytes: GIB - 1 })).toMatch(/^of a whole server, databases of less than 1/);
});

test("waitBefore() and waitForSeal() say for how long at most in a line's length, and note what to say instead", () => {
  const before = waitBefore({ ...SMALL, dueInMs: 190_000 });
  expect(before.message).toBe("waiting for the server's next checkpoint, due within 3 min 10 s: at most 6 min 00 s");
  expect(before.note!.hint).toBe("--checkpoint now asks for one; --checkpoint none reads everything at once.");
  expect(waitBefore({ ...SMALL, checkpoint: "wait", dueInMs: 3_600_000 }).message).not.toContain("due");
  expect(waitBefore({ ...SMALL, checkpoint: "now" })).toMatchObject({
    message: expect.stringMatching(/^asking for a checkpoint/) as string,
    note: null,
  });
  const seal = waitForSeal(SMALL, 350_000);
  expect(seal.message).toBe("all is stored; waiting for the server's next checkpoint: at most 5 min 50 s");
  expect(seal.note!.hint).toBe("--checkpoint now asks for one; --checkpoint none does without.");
  expect(waitForSeal({ ...SMALL, checkpoint: "now" }, 350_000).note).toBeNull();
});

test("waitBefore() and waitForSeal() of a standby speak of its primary, whatever was asked for", () => {
  for (const checkpoint of [null, "wait", "now"] as const) {
    const situation = { ...SMALL, checkpoint, dueInMs: null, isStandby: true };
    for (const { message, note } of [waitBefore(situation), waitForSeal(situation, 350_000)]) {
      expect(message).toContain("waiting for the primary's next checkpoint");
      expect(note!.hint).toMatch(/^CHECKPOINT on the primary brings it at once; --checkpoint none/);
    }
  }
});
