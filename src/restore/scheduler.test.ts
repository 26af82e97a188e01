import assert from "node:assert/strict";

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RESTORE_PASSES } from "./entry-kinds.ts";
import { JOIN_WORK_BYTES_MIN, Schedule, type RunningLoad, type SchedulableTask } from "./scheduler.ts";

/** A task of which the test knows whether its load may be joined. */
interface TestTask extends SchedulableTask {
  readonly isShareable: boolean;
}

/** Tasks 1 to n; each depends on some before it, locks some of what it uses. */
const tasksArbitrary: fc.Arbitrary<TestTask[]> = fc
  .array(
    fc.record({
      back: fc.array(fc.nat(1000), { maxLength: 4 }),
      outside: fc.array(fc.integer({ min: 1001, max: 1005 }), { maxLength: 2 }),
      locksSome: fc.boolean(),
      pass: fc.constantFrom(...RESTORE_PASSES),
      isWanted: fc.boolean(),
      isShareable: fc.boolean(),
      sizeBytes: fc.nat(100),
      works: fc.nat(40),
    }),
    { maxLength: 40 },
  )
  .map((shapes) =>
    shapes.map((shape, index) => {
      const dependencies = index === 0 ? [] : [...new Set(shape.back.map((value) => 1 + (value % index)))];
      const uses = [...dependencies, ...new Set(shape.outside)];
      const { pass, isWanted, isShareable, sizeBytes } = shape;
      const workBytes = shape.works * JOIN_WORK_BYTES_MIN;
      const locks = shape.locksSome ? uses : [];
      return { dumpId: index + 1, pass, isWanted, isShareable, dependencies, uses, locks, sizeBytes, workBytes };
    }),
  );

interface Running {
  readonly task: TestTask;
  connectionCount: number;
  sentBytes: number;
}

/** Runs a schedule; holds every step against the rules, which it works out anew, and by itself. */
class Simulation {
  readonly schedule: Schedule<TestTask>;
  readonly tasks: readonly TestTask[];
  readonly connectionCount: number;
  readonly running: Running[] = [];
  freeCount: number;

  constructor(tasks: readonly TestTask[], connectionCount: number) {
    this.tasks = tasks;
    this.schedule = new Schedule(tasks, connectionCount);
    this.connectionCount = connectionCount;
    this.freeCount = connectionCount;
  }

  /** Every free connection takes a step, as far as there is one. */
  takeSteps(): void {
    while (this.freeCount > 0) {
      const loads = this.loads();
      const mayJoin = loads.filter((load) => load.mayBeJoined);
      const step = this.schedule.takeNext(loads);
      const startable = this.startable(step?.kind === "start" ? step.task.dumpId : null);
      if (step === null) {
        assert.deepEqual(startable, []);
        assert.ok(!mayJoin.some((load) => load.hasWaiting || this.isEnough(load)));
        return;
      }
      this.freeCount -= 1;
      if (step.kind === "start") this.checkStart(step.task, startable, mayJoin);
      else this.checkJoin(step.dumpId, startable, mayJoin);
      if (step.kind === "start") this.running.push({ task: step.task, connectionCount: 1, sentBytes: 0 });
      else (this.running.find(({ task }) => task.dumpId === step.dumpId) as Running).connectionCount += 1;
    }
  }

  /** One of the running tasks goes on or ends; a failed load may end before all was sent. */
  advance(choice: number): void {
    const running = this.running[choice % this.running.length] as Running;
    const rest = running.task.workBytes - running.sentBytes;
    if (choice % 5 === 0 && rest > 0) running.sentBytes += Math.ceil(rest / 2);
    else {
      this.running.splice(this.running.indexOf(running), 1);
      this.freeCount += running.connectionCount;
      this.schedule.finish(running.task.dumpId, choice % 3 === 0 ? "failed" : "done");
    }
  }

  loads(): RunningLoad[] {
    return this.running.map(({ task, connectionCount, sentBytes }) => {
      const { dumpId, isShareable } = task;
      return { dumpId, connectionCount, sentBytes, mayBeJoined: isShareable, hasWaiting: dumpId % 2 === 0 };
    });
  }

  /** What could start, or could have in place of the one that just did, by the rules alone. */
  startable(startedId: number | null): TestTask[] {
    const { outcomes } = this.schedule;
    const started = new Set(this.running.map(({ task }) => task.dumpId));
    const ready = this.tasks.filter(
      ({ dumpId, isWanted, dependencies }) =>
        isWanted && !outcomes.has(dumpId) && !started.has(dumpId) && dependencies.every((id) => outcomes.has(id)),
    );
    // A task starts or is skipped only when its pass has come.
    const begun = this.tasks.filter(
      ({ dumpId }) => started.has(dumpId) || outcomes.has(dumpId) || dumpId === startedId,
    );
    const passIndex = Math.max(0, ...begun.map(({ pass }) => RESTORE_PASSES.indexOf(pass)));
    return ready
      .filter(({ pass }) => RESTORE_PASSES.indexOf(pass) <= passIndex)
      .filter((task) => this.running.every((other) => !excludes(task, other.task) && !excludes(other.task, task)));
  }

  checkStart(task: TestTask, startable: readonly TestTask[], mayJoin: readonly RunningLoad[]): void {
    assert.ok(task.isWanted);
    for (const id of task.dependencies) assert.ok(this.schedule.outcomes.has(id));
    assert.ok(startable.includes(task));
    for (const other of startable) assert.ok(this.path(other) <= this.path(task));
    if (mayJoin.some((one) => this.isCritical(one))) assert.ok(this.path(task) > this.share());
  }

  checkJoin(dumpId: number, startable: readonly TestTask[], mayJoin: readonly RunningLoad[]): void {
    const load = mayJoin.find((one) => one.dumpId === dumpId);
    if (load === undefined) throw new Error(`joined ${dumpId}, which may not be joined`);
    if (startable.length === 0) return;
    assert.ok(this.isCritical(load));
    for (const task of startable) assert.ok(this.path(task) <= this.share());
    for (const other of mayJoin.filter((one) => this.isCritical(one))) {
      assert.ok(this.pathOfLoad(other) <= this.pathOfLoad(load));
    }
  }

  /** True when the load would end later than all that is left, evenly spread. */
  isCritical(load: RunningLoad): boolean {
    return this.isEnough(load) && this.pathOfLoad(load) > this.share();
  }

  share(): number {
    const open = this.tasks.filter(({ dumpId, isWanted }) => isWanted && !this.schedule.outcomes.has(dumpId));
    const left = open.reduce((sum, { workBytes }) => sum + workBytes, 0);
    const sent = this.running.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
    return (left - sent) / this.connectionCount;
  }

  isEnough(load: RunningLoad): boolean {
    return this.rest(load) / (load.connectionCount + 1) >= JOIN_WORK_BYTES_MIN;
  }

  pathOfLoad(load: RunningLoad): number {
    return this.rest(load) / load.connectionCount + this.tail(load.dumpId);
  }

  rest({ dumpId, sentBytes }: RunningLoad): number {
    return (this.tasks[dumpId - 1] as TestTask).workBytes - sentBytes;
  }

  path(task: TestTask): number {
    return (task.isWanted ? task.workBytes : 0) + this.tail(task.dumpId);
  }

  readonly #tails = new Map<number, number>();

  tail(dumpId: number): number {
    const known = this.#tails.get(dumpId);
    if (known !== undefined) return known;
    const dependents = this.tasks.filter((task) => task.dependencies.includes(dumpId));
    const locking = dependents.filter((task) => task.isWanted && task.locks.includes(dumpId));
    const ways = dependents.map((task) => {
      const others = locking.filter((other) => other !== task);
      return this.path(task) + others.reduce((sum, { workBytes }) => sum + workBytes, 0);
    });
    const tail = Math.max(0, ...ways);
    this.#tails.set(dumpId, tail);
    return tail;
  }
}

function excludes(one: SchedulableTask, other: SchedulableTask): boolean {
  return one.locks.some((id) => other.uses.includes(id));
}

function simulate(tasks: TestTask[], connectionCount: number, choices: readonly number[], stopAfter: number): void {
  const simulation = new Simulation(tasks, connectionCount);
  const { schedule, running } = simulation;
  for (let step = 0; ; step += 1) {
    if (step === stopAfter) schedule.stop();
    if (schedule.isFinished || step >= stopAfter) expect(schedule.takeNext(simulation.loads())).toBeNull();
    else simulation.takeSteps();
    expect(schedule.runningCount).toBe(running.length);
    if (running.length === 0) break;
    simulation.advance(choices[step % choices.length] ?? 1);
    expect(step).toBeLessThanOrEqual(tasks.length * 40);
  }
  expect(schedule.isFinished).toBe(true);
  expect(schedule.outcomes.size).toBe(tasks.length);
}

const task = (dumpId: number, more: Partial<SchedulableTask> = {}): SchedulableTask => ({
  dumpId,
  pass: "main",
  isWanted: true,
  dependencies: [],
  uses: more.dependencies ?? [],
  locks: [],
  sizeBytes: 0,
  workBytes: 0,
  ...more,
});

const load = (dumpId: number, more: Partial<RunningLoad> = {}): RunningLoad => ({
  dumpId,
  mayBeJoined: true,
  hasWaiting: true,
  connectionCount: 1,
  sentBytes: 0,
  ...more,
});

const startOf = (schedule: Schedule<SchedulableTask>, loads: readonly RunningLoad[] = []): number | null => {
  const step = schedule.takeNext(loads);
  return step?.kind === "start" ? step.task.dumpId : null;
};

describe("Schedule", () => {
  test("keeps to dependencies, locks, and passes, joins only what may be shared, leaves no connection idle, and goes by the longest way to the end", () => {
    fc.assert(
      fc.property(
        tasksArbitrary,
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }).map((choices) => [...choices, 1]),
        fc.option(fc.integer({ min: 1, max: 20 }), { nil: Number.POSITIVE_INFINITY }),
        simulate,
      ),
      { numRuns: 300 },
    );
  });

  test("starts what has more work in and behind it first, then larger ones, then by dump id", () => {
    const tasks = [
      task(1),
      task(2, { sizeBytes: 5 }),
      task(3, { sizeBytes: 9 }),
      task(4),
      task(5, { workBytes: 3 }),
      task(6, { workBytes: 2 }),
      task(7, { workBytes: 2, dependencies: [6] }),
    ];
    const schedule = new Schedule(tasks, 1);
    expect([1, 2, 3, 4, 5, 6].map(() => startOf(schedule))).toEqual([6, 5, 3, 2, 1, 4]);
    expect(schedule.takeNext()).toBeNull();
  });

  const unit = 100 * JOIN_WORK_BYTES_MIN;
  /** A table of 70 % with an index; two small ones. */
  const shop = (): Schedule<SchedulableTask> =>
    new Schedule(
      [
        task(1, { workBytes: 7 * unit }),
        task(2, { workBytes: 2 * unit }),
        task(3, { workBytes: unit }),
        task(4, { workBytes: 2 * unit, dependencies: [1] }),
      ],
      2,
    );

  test("joins the table that would end last before it starts smaller ones, whose load then runs beside its index", () => {
    const schedule = shop();
    expect(startOf(schedule)).toBe(1);
    expect(schedule.takeNext([load(1, { hasWaiting: false })])).toEqual({ kind: "join", dumpId: 1 });
    schedule.finish(1, "done");
    expect([startOf(schedule), startOf(schedule)]).toEqual([2, 4]);
  });

  test("starts an index build that would end last before it joins a load, which can be helped later, too", () => {
    const tasks = [
      task(1, { workBytes: 3 * unit }),
      task(2),
      task(3, { workBytes: 2 * unit, dependencies: [2] }),
      task(4, { workBytes: unit / 2, dependencies: [2] }),
    ];
    const schedule = new Schedule(tasks, 4);
    expect([startOf(schedule), startOf(schedule)]).toEqual([1, 2]);
    schedule.finish(2, "done");
    expect(startOf(schedule, [load(1)])).toBe(3);
    expect(schedule.takeNext([load(1)])).toEqual({ kind: "join", dumpId: 1 });
    expect(startOf(schedule, [load(1, { connectionCount: 3 })])).toBe(4);
  });

  test("counts what has been sent as done", () => {
    const schedule = new Schedule([task(1, { workBytes: 4 * unit }), task(2, { workBytes: unit })], 2);
    expect(startOf(schedule)).toBe(1);
    const halfSent = load(1, { sentBytes: 2 * unit, hasWaiting: false });
    expect(schedule.takeNext([halfSent])).toEqual({ kind: "join", dumpId: 1 });
  });

  test("starts a smaller table while the big one would not end last, or when it may not be shared", () => {
    const almostLoaded = shop();
    expect(startOf(almostLoaded)).toBe(1);
    expect(startOf(almostLoaded, [load(1, { sentBytes: 6.8 * unit })])).toBe(2);
    const alone = shop();
    expect(startOf(alone)).toBe(1);
    expect(startOf(alone, [load(1, { mayBeJoined: false })])).toBe(2);
  });

  test("with nothing to start, joins a load with waiting pieces, also of unknown size, but not one of crumbs", () => {
    const schedule = new Schedule([task(1)], 2);
    expect(startOf(schedule)).toBe(1);
    expect(schedule.takeNext([load(1, { hasWaiting: false })])).toBeNull();
    expect(schedule.takeNext([load(1, { mayBeJoined: false })])).toBeNull();
    expect(schedule.takeNext([load(1)])).toEqual({ kind: "join", dumpId: 1 });
  });

  test("starts a pass only when the one before has ended", () => {
    const schedule = new Schedule([task(1, { pass: "post-acl" }), task(2, { pass: "acl" }), task(3)], 1);
    for (const id of [3, 2, 1]) {
      expect(startOf(schedule)).toBe(id);
      expect(schedule.takeNext()).toBeNull();
      schedule.finish(id, "done");
    }
    expect(schedule.isFinished).toBe(true);
  });

  test("skips inhibited tasks and lets their dependents go on", () => {
    const schedule = new Schedule([task(1), task(2, { dependencies: [1] })], 1);
    schedule.inhibit(1);
    expect(startOf(schedule)).toBe(2);
    expect(schedule.outcomes.get(1)).toBe("skipped");
  });
});
