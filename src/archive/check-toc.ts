// What must hold for a whole table of contents: dump ids are unique, and dependencies run in no circle.
// Dependencies on dump ids that are not in the archive are usual (a selective dump) and let through.

import { invalidArchive } from "./archive-errors.ts";
import type { TocEntry } from "./toc.ts";

/** Throws archive_invalid when two entries have one dump id or dependencies form a loop. */
export function checkEntries(entries: readonly TocEntry[], tocOffset: number): void {
  const indexOf = new Map(entries.map(({ dumpId }, index) => [dumpId, index] as const));
  if (indexOf.size < entries.length) {
    const twice = entries.find(({ dumpId }, index) => indexOf.get(dumpId) !== index);
    throw invalidArchive(tocOffset, "table of contents", `dump id ${twice?.dumpId} occurs twice`);
  }
  const inLoop = findLoop(entries, indexOf);
  if (inLoop !== null) {
    throw invalidArchive(tocOffset, "table of contents", `the dependencies of dump id ${inLoop} form a loop`);
  }
}

const UNSEEN = 0;
const OPEN = 1;
const DONE = 2;

/** A dump id that depends on itself, directly or not; null when there is none. Depth is on the heap, not the stack. */
function findLoop(entries: readonly TocEntry[], indexOf: ReadonlyMap<number, number>): number | null {
  const states = new Uint8Array(entries.length);
  const path: { index: number; next: number }[] = [];
  for (let start = 0; start < entries.length; start += 1) {
    if (states[start] !== UNSEEN) continue;
    if (dependsOnDone(entries[start]!, indexOf, states)) {
      states[start] = DONE;
      continue;
    }
    states[start] = OPEN;
    path.push({ index: start, next: 0 });
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const dependency = entries[top.index]?.dependencies[top.next];
      if (dependency === undefined) {
        states[top.index] = DONE;
        path.pop();
        continue;
      }
      top.next += 1;
      const index = indexOf.get(dependency);
      if (index === undefined || states[index] === DONE) continue;
      if (states[index] === OPEN) return dependency;
      states[index] = OPEN;
      path.push({ index, next: 0 });
    }
  }
  return null;
}

/** True when all that an entry depends on was looked at, as it is where entries stand behind what they depend on. */
function dependsOnDone({ dependencies }: TocEntry, indexOf: ReadonlyMap<number, number>, states: Uint8Array): boolean {
  return dependencies.every((dependency) => {
    const index = indexOf.get(dependency);
    return index === undefined || states[index] === DONE;
  });
}
