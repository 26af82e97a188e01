// How much work lies behind each task of a restore, one piece after another: what the scheduler goes by. Pure.
// Work is counted in bytes of COPY text, or what takes as long. It is an estimate: it decides the order, never the result.

/** What is looked at in a task. */
export interface WeighedTask {
  readonly dumpId: number;
  readonly isWanted: boolean;
  readonly dependencies: readonly number[];
  readonly locks: readonly number[];
  readonly workBytes: number;
}

/** The work of a task that is done at all. */
export function workOf(task: WeighedTask): number {
  return task.isWanted ? task.workBytes : 0;
}

/**
 * By dump id: the work on the longest way from the end of a task to the end of the restore. Dependents that lock the
 * task (the constraints of a table) come one after another and beside no other dependent of it.
 */
export function planTails(tasks: readonly WeighedTask[]): ReadonlyMap<number, number> {
  const byId = new Map(tasks.map((task) => [task.dumpId, task]));
  const dependents = new Map<number, WeighedTask[]>(tasks.map((task) => [task.dumpId, []]));
  for (const task of tasks) for (const id of task.dependencies) dependents.get(id)?.push(task);
  const openCounts = new Map(tasks.map(({ dumpId }) => [dumpId, dependents.get(dumpId)?.length ?? 0]));
  const tails = new Map<number, number>();
  const settled = tasks.filter((task) => openCounts.get(task.dumpId) === 0);
  for (let task = settled.pop(); task !== undefined; task = settled.pop()) {
    tails.set(task.dumpId, tailOf(task.dumpId, dependents.get(task.dumpId) ?? [], tails));
    for (const id of task.dependencies) {
      const open = (openCounts.get(id) ?? 0) - 1;
      openCounts.set(id, open);
      const dependency = byId.get(id);
      if (open === 0 && dependency !== undefined) settled.push(dependency);
    }
  }
  return tails;
}

function tailOf(dumpId: number, dependents: readonly WeighedTask[], tails: ReadonlyMap<number, number>): number {
  let exclusive = 0;
  for (const task of dependents) if (task.locks.includes(dumpId)) exclusive += workOf(task);
  let tail = 0;
  for (const task of dependents) {
    const others = task.locks.includes(dumpId) ? exclusive - workOf(task) : exclusive;
    tail = Math.max(tail, others + workOf(task) + (tails.get(task.dumpId) ?? 0));
  }
  return tail;
}
