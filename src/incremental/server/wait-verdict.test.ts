import { expect, test } from "vitest";

import { hasMoved, IDLE_WAIT_MS, SUMMARIZER_STALL_MS, vainBecause } from "./wait-verdict.ts";

const waiting = {
  isReached: false,
  isOn: true,
  isStandby: false,
  isTimelineOver: false,
  isCheckpointPast: false,
  isIdle: false,
  summarizer: "1 0/1 0/2 77",
};
const fresh = { waitedMs: 0, stillMs: 0, stallMs: SUMMARIZER_STALL_MS };

test("vainBecause() waits for a checkpoint as long as one is to come", () => {
  expect(vainBecause(waiting, { ...fresh, waitedMs: 3_600_000, stillMs: 3_600_000 })).toBe(null);
  expect(vainBecause({ ...waiting, isReached: true, isOn: false }, fresh)).toBe(null);
});

test("vainBecause() gives up at once when summarize_wal is off", () => {
  expect(vainBecause({ ...waiting, isOn: false }, fresh)).toBe("summarize_wal is off");
});

test("vainBecause() gives up at once when the timeline awaited is over", () => {
  expect(vainBecause({ ...waiting, isTimelineOver: true }, fresh)).toBe("the server has gone over to another timeline");
  expect(vainBecause({ ...waiting, isTimelineOver: true, isReached: true }, fresh)).toBe(null);
});

test("vainBecause() gives up a summarizer that stands still after a checkpoint", () => {
  const past = { ...waiting, isCheckpointPast: true };
  expect(vainBecause(past, { ...fresh, waitedMs: 3_600_000, stillMs: SUMMARIZER_STALL_MS })).toBe(null);
  expect(vainBecause(past, { ...fresh, stillMs: SUMMARIZER_STALL_MS + 1 })).toMatch(
    /^the WAL summarizer has done nothing/,
  );
});

test("vainBecause() gives up an idle primary on a standby only: elsewhere the wait itself has written something", () => {
  const idle = { ...waiting, isIdle: true, isStandby: true };
  const late = { ...fresh, waitedMs: IDLE_WAIT_MS + 1 };
  expect(vainBecause(idle, { ...fresh, waitedMs: IDLE_WAIT_MS })).toBe(null);
  expect(vainBecause(idle, late)).toBe("the primary is idle and makes no timed checkpoint");
  expect(vainBecause({ ...idle, isStandby: false }, late)).toBe(null);
  expect(vainBecause({ ...idle, isIdle: false }, late)).toBe(null);
});

test("hasMoved() sees the summarizer work and a checkpoint pass", () => {
  expect(hasMoved(waiting, { ...waiting, isIdle: true })).toBe(false);
  expect(hasMoved(waiting, { ...waiting, summarizer: "1 0/1 0/3 77" })).toBe(true);
  expect(hasMoved(waiting, { ...waiting, isCheckpointPast: true })).toBe(true);
});
