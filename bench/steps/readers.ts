// One table with four readers: who read how many segments, and whether one had nothing to do while some were left.

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import type { Observation } from "../observe.ts";

const JOBS = 4;

interface ReaderCount {
  segmentCount: number;
  underWay: number;
  /** Times at which it had nothing to do although segments were still to be taken. */
  idleCount: number;
}

export async function readers(bench: Bench): Promise<StepResult> {
  const repository = await bench.newRepository("readers");
  const args = ["backup", bench.server.uri("bench"), repository, String(JOBS), "-t", "events"];
  const run = await bench.observe(args, "cairn backup -t events --jobs 4 (observed)");
  const counts = countReaders(JSON.parse(run.output) as Observation);
  const idleCount = counts.reduce((sum, count) => sum + count.idleCount, 0);
  const segments = counts.map(({ segmentCount }) => segmentCount);
  const isReached = counts.length === JOBS && segments.every((count) => count > 0) && idleCount === 0;
  const measured = `${segments.join(" + ")} segments, idle ${idleCount} times`;
  const target = `${JOBS} readers, none idle`;
  return { figures: [{ name: "one table, --jobs 4", target, measured, isReached }], runs: [run] };
}

function countReaders({ events }: Observation): ReaderCount[] {
  const readers = new Map<number, ReaderCount>();
  let left = events.filter(({ event }) => event.type === "segment-started").length;
  for (const { event } of events) {
    if (event.type !== "segment-started" && event.type !== "segment-done") continue;
    const reader = readers.get(event.readerIndex) ?? { segmentCount: 0, underWay: 0, idleCount: 0 };
    readers.set(event.readerIndex, reader);
    if (event.type === "segment-started") {
      left -= 1;
      reader.underWay += 1;
    } else {
      reader.segmentCount += 1;
      reader.underWay -= 1;
      if (reader.underWay === 0 && left > 0) reader.idleCount += 1;
    }
  }
  return [...readers.entries()].toSorted(([a], [b]) => a - b).map(([, reader]) => reader);
}
