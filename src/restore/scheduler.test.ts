import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RESTORE_PASSES } from "./entry-kinds.ts";
import { Schedule, type SchedulableTask } from "./scheduler.ts";

/** Tasks 1 to n; each depends on some before it, locks some of what it uses. */
const tasksArbitrary: fc.Arbitrary<SchedulableTask[]> = fc
  .array(
    fc.record({
      back: fc.array(fc.nat(1000), { maxLength: 4 }),
      outside: fc.array(fc.integer({ min: 1001, max: 1005 }), { maxLength: 2 }),
      locksSome: fc.boolean(),
      pass: fc.constantFrom(...RESTORE_PASSES),
      isWanted: fc.boolean(),
      sizeBytes: fc.nat(100),
    }),
    { maxLength: 40 },
  )
  .map((shapes) =>
    shapes.map((shape, index) => {
      const dependencies = index === 0 ? [] : [...new Set(shape.back.map((value) => 1 + (value % index)))];
      const uses = [...dependencies, ...new Set(shape.outside)];
      const { pass, isWanted, sizeBytes } = shape;
      return { dumpId: index + 1, pass, isWanted, dependencies, uses, locks: shape.locksSome ? uses : [], sizeBytes };
    }),
  );

/** Runs a schedule with some workers; the numbers say which running task ends next and how. */
function simulate(tasks: SchedulableTask[], workerCount: number, choices: readonly number[], stopAfter: number): void {
  const schedule = new Schedule(tasks);
  const byId = new Map(tasks.map((task) => [task.dumpId, task]));
  const running: SchedulableTask[] = [];
  let step = 0;
  for (;;) {
    while (running.length < workerCount) {
      const task = schedule.takeNext();
      if (task === null) break;
      expect(task.isWanted).toBe(true);
      for (const id of task.dependencies) expect(schedule.outcomes.has(id)).toBe(true);
      for (const other of running) {
        expect(task.locks.some((id) => other.uses.includes(id))).toBe(false);
        expect(other.locks.some((id) => task.uses.includes(id))).toBe(false);
      }
      running.push(task);
    }
    expect(schedule.runningCount).toBe(running.length);
    if (running.length === 0) break;
    const choice = choices[step % choices.length] ?? 0;
    const [ended] = running.splice(choice % running.length, 1);
    schedule.finish((ended as SchedulableTask).dumpId, choice % 3 === 0 ? "failed" : "done");
    step += 1;
    if (step === stopAfter) schedule.stop();
    expect(step).toBeLessThanOrEqual(tasks.length);
  }
  expect(schedule.isFinished).toBe(true);
  expect(schedule.outcomes.size).toBe(byId.size);
}

describe("Schedule", () => {
  test("runs nothing before its dependencies, never two in conflict, and ends with every task settled", () => {
    fc.assert(
      fc.property(
        tasksArbitrary,
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }),
        fc.option(fc.integer({ min: 1, max: 20 }), { nil: -1 }),
        simulate,
      ),
    );
  });

  const task = (dumpId: number, more: Partial<SchedulableTask> = {}): SchedulableTask => ({
    dumpId,
    pass: "main",
    isWanted: true,
    dependencies: [],
    uses: more.dependencies ?? [],
    locks: [],
    sizeBytes: 0,
    ...more,
  });

  test("starts larger tasks first, equal ones in order of dump id", () => {
    const schedule = new Schedule([task(1), task(2, { sizeBytes: 5 }), task(3, { sizeBytes: 9 }), task(4)]);
    expect([1, 2, 3, 4].map(() => schedule.takeNext()?.dumpId)).toEqual([3, 2, 1, 4]);
    expect(schedule.takeNext()).toBeNull();
  });

  test("starts a pass only when the one before has ended", () => {
    const schedule = new Schedule([task(1, { pass: "post-acl" }), task(2, { pass: "acl" }), task(3)]);
    for (const id of [3, 2, 1]) {
      expect(schedule.takeNext()?.dumpId).toBe(id);
      expect(schedule.takeNext()).toBeNull();
      schedule.finish(id, "done");
    }
    expect(schedule.isFinished).toBe(true);
  });

  test("skips inhibited tasks and lets their dependents go on", () => {
    const schedule = new Schedule([task(1), task(2, { dependencies: [1] })]);
    schedule.inhibit(1);
    expect(schedule.takeNext()?.dumpId).toBe(2);
    expect(schedule.outcomes.get(1)).toBe("skipped");
  });
});
