import { describe, expect, test } from "vitest";
import { AssertionError } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { restore } from "./commands/restore.ts";
import { verify } from "./commands/verify.ts";
import { doctor } from "./commands/doctor.ts";
import { exitStatusOf } from "./exit-status.ts";
import { InterruptedError } from "./interrupted-error.ts";
import { doctorReport, restoreReport, verifyReport } from "./output/sample-results.fixture.ts";

describe("exitStatusOf()", () => {
  test.each([
    ["usage", 2],
    ["query_failed", 1],
    ["preflight_failed", 1],
    ["restore_incomplete", 1],
    ["no_repository", 10],
    ["locked", 11],
    ["wrong_key", 12],
    ["internal", 70],
  ] as const)("of %s is %i", (code, status) => {
    expect(exitStatusOf(new OperatingError(code, "x"))).toBe(status);
  });

  test("of a signal is that of a shell", () => {
    expect(exitStatusOf(new InterruptedError("SIGINT"))).toBe(130);
    expect(exitStatusOf(new InterruptedError("SIGTERM"))).toBe(143);
    expect(exitStatusOf(new InterruptedError("SIGHUP"))).toBe(129);
  });

  test("of a defect is 70", () => {
    for (const error of [new AssertionError("x"), new TypeError("x"), "text", undefined])
      expect(exitStatusOf(error)).toBe(70);
  });
});

test("restore exits with 1 when an entry failed, with 3 when something else is missing", () => {
  const failure = { dumpId: 1, description: "TABLE", tag: "a", error: "no" };
  expect(restore.exitStatus(restoreReport)).toBe(0);
  expect(restore.exitStatus({ ...restoreReport, entriesFailed: [failure], isComplete: false })).toBe(1);
  expect(restore.exitStatus({ ...restoreReport, isComplete: false })).toBe(3);
});

test("verify and doctor exit with 1 for bad news", () => {
  expect([verify.exitStatus(verifyReport), verify.exitStatus({ ...verifyReport, isIntact: false })]).toEqual([0, 1]);
  expect([doctor.exitStatus(doctorReport), doctor.exitStatus({ ...doctorReport, isReady: false })]).toEqual([0, 1]);
});
