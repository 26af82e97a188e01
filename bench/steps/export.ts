// A stock archive out of the repository, in bytes a second, beside a plain copy of the same file.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import { runPairs } from "../pairs.ts";
import { median } from "../statistics.ts";
import type { ExportReport } from "../../src/operations/export/index.ts";

const TARGET_MB_PER_SECOND = 500;
const MB = 1e6;

export async function exportArchive(bench: Bench): Promise<StepResult> {
  const { repository } = await bench.prepare();
  const [file, copy] = [bench.path("export.dump"), bench.path("copy.dump")];
  const args = ["export", "latest", "--repo", repository, "--file", file];
  const { ours, theirs } = await runPairs(
    bench.settings.pairs,
    async () => {
      await rm(file, { force: true });
      return await bench.cairn(args);
    },
    async () => {
      await rm(copy, { force: true });
      return await bench.copyFile(file, copy);
    },
  );
  await Promise.all([rm(file), rm(copy)]);
  const reports = ours.map(({ output }) => JSON.parse(output) as ExportReport);
  const sizeMb = reports[0]!.sizeBytes / MB;
  const speed = sizeMb / median(ours.map(({ wallSeconds }) => wallSeconds));
  const inside = sizeMb / median(reports.map(({ durationMs }) => durationMs / 1000));
  const disk = sizeMb / median(theirs.map(({ wallSeconds }) => wallSeconds));
  const figure = {
    name: "export, MB of archive a second",
    target: `≥ ${TARGET_MB_PER_SECOND} or the disk's ${disk.toFixed(0)} (dd conv=fsync)`,
    measured: `${speed.toFixed(0)} (${inside.toFixed(0)} without the start of the process; ${sizeMb.toFixed(0)} MB)`,
    isReached: speed >= Math.min(TARGET_MB_PER_SECOND, disk),
  };
  return { figures: [figure], runs: [...ours, ...theirs] };
}
