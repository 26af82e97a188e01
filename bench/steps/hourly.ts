// A working database backed up every hour for a day: what 24 restore points take together, beside one dump, and beside what
// restic keeps of the plain dumps. How much changes an hour is stated with each figure.

import { rm, stat } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import { appendedRows, ChangingDatabase, updatedRows } from "../changing-database.ts";
import { atMost, type Figure, type StepResult } from "../figure.ts";
import type { Measurement } from "../measure.ts";
import { Restic } from "../restic.ts";
import { median } from "../statistics.ts";

const HOUR_COUNT = 24;
const DATABASE = "bench_hourly";

export async function hourly(bench: Bench): Promise<StepResult> {
  const usual = await aDay(bench, { updatedPercent: 0.05, withRestic: true });
  const busy = await aDay(bench, { updatedPercent: 1, withRestic: false });
  return { figures: [...usual.figures, ...busy.figures], runs: [...usual.runs, ...busy.runs] };
}

async function aDay(
  bench: Bench,
  { updatedPercent, withRestic }: { readonly updatedPercent: number; readonly withRestic: boolean },
): Promise<StepResult> {
  const subject = await ChangingDatabase.create(bench, DATABASE);
  const restic = withRestic ? await Restic.create(bench) : null;
  const dumpArgs = ["-d", subject.uri];
  const runs: Measurement[] = [];
  let resticBytes = 0;
  for (let hour = 0; hour < HOUR_COUNT; hour += 1) {
    if (hour > 0) await subject.psql(`${updatedRows(updatedPercent, hour)}${appendedRows(0.2, hour)}`);
    runs.push((await subject.backup(`cairn backup, ${updatedPercent} % updated an hour`)).run);
    if (restic === null) continue;
    const { beforeBytes, grownBytes } = await restic.keep(dumpArgs);
    resticBytes = beforeBytes + grownBytes;
  }
  const file = bench.path("hourly.dump");
  const peer = await bench.pgDump(["-Fc", "-Z", "zstd:3", "-f", file, ...dumpArgs], "pg_dump -Fc -Z zstd:3");
  const { size: dumpBytes } = await stat(file);
  const kept = subject.sizeBytes;
  await Promise.all([rm(file), subject.drop()]);
  await restic?.[Symbol.asyncDispose]();
  const ratio = kept / dumpBytes;
  const name = `${HOUR_COUNT} hourly restore points, ${updatedPercent} % updated and 0.2 % appended an hour : one dump`;
  const beside = restic === null ? "" : `; restic: ${(resticBytes / dumpBytes).toFixed(2)}`;
  const text = `${ratio.toFixed(2)} (${kept} : ${dumpBytes} bytes${beside})`;
  const seconds = median(runs.slice(1).map(({ wallSeconds }) => wallSeconds));
  const figures: Figure[] = [
    withRestic ? atMost(name, ratio, 1.3, text) : { name, target: "", measured: text, isReached: null },
    {
      name: `one of them, ${updatedPercent} % updated, seconds`,
      target: "",
      measured: `${seconds.toFixed(2)} s (the first: ${runs[0]!.wallSeconds.toFixed(2)} s)`,
      isReached: null,
    },
  ];
  return { figures, runs: [runs[0]!, runs.at(-1)!, peer] };
}
