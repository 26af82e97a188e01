import { setImmediate } from "node:timers/promises";

import { expect, test } from "vitest";

import { Outbox } from "./outbox.ts";

function throwIt(error: unknown): never {
  throw error;
}

test("Outbox sends at once while nothing is pending", () => {
  const sent: number[] = [];
  const outbox = new Outbox(throwIt);
  outbox.add(() => sent.push(1));
  expect(sent).toEqual([1]);
});

test("Outbox keeps the order, whichever is done first", async () => {
  const sent: number[] = [];
  const outbox = new Outbox(throwIt);
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  for (const [index, gate] of gates.entries()) {
    outbox.addLater(async () => {
      await gate.promise;
      sent.push(index);
    });
  }
  outbox.add(() => sent.push(2));
  gates[1]!.resolve();
  await setImmediate();
  expect(sent).toEqual([]);
  gates[0]!.resolve();
  await setImmediate();
  expect(sent).toEqual([0, 1, 2]);
  outbox.add(() => sent.push(3));
  expect(sent).toEqual([0, 1, 2, 3]);
});

test("Outbox tells of a failure, and goes on", async () => {
  const failures: unknown[] = [];
  const sent: number[] = [];
  const outbox = new Outbox((error) => failures.push(error));
  outbox.addLater(() => Promise.reject(new Error("no")));
  outbox.add(() => sent.push(1));
  await setImmediate();
  expect(failures).toEqual([new Error("no")]);
  expect(sent).toEqual([1]);
});
