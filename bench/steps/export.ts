// A stock archive out of the repository, in bytes a second, beside a plain copy of the same file. What a command takes
// whatever the size (the start of the process, scrypt of the passphrase) is measured with an archive of definitions alone.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import { runPairs } from "../pairs.ts";
import type { Measurement } from "../measure.ts";
import { median } from "../statistics.ts";
import type { ExportReport } from "../../src/operations/export/index.ts";

const TARGET_MB_PER_SECOND = 500;
const MB = 1e6;

export async function exportArchive(bench: Bench): Promise<StepResult> {
  const { repository } = await bench.prepare();
  const definitions = await bench.newRepository("definitions");
  await bench.cairn(["backup", bench.server.uri("bench"), "--repo", definitions, "-s"]);
  const [file, copy] = [bench.path("export.dump"), bench.path("copy.dump")];
  const exportFrom = async (from: string, label: string): Promise<Measurement> => {
    await rm(file, { force: true });
    return await bench.cairn(["export", "latest", "--repo", from, "--file", file], label);
  };
  const starts: Measurement[] = [];
  const { ours, theirs } = await runPairs(
    bench.settings.pairs,
    async () => {
      starts.push(await exportFrom(definitions, "cairn export of definitions alone"));
      return await exportFrom(repository, "cairn export");
    },
    async () => {
      await rm(copy, { force: true });
      return await bench.copyFile(file, copy);
    },
  );
  await Promise.all([rm(file), rm(copy), rm(definitions, { recursive: true })]);
  const [size, startSize] = [ours, starts].map((runs) => (JSON.parse(runs[0]!.output) as ExportReport).sizeBytes / MB);
  const [whole, start, disk] = [ours, starts, theirs].map((runs) => median(runs.map(({ wallSeconds }) => wallSeconds)));
  const speed = (size! - startSize!) / (whole! - start!);
  const diskSpeed = size! / disk!;
  const figure = {
    name: "export, MB of archive a second",
    target: `≥ ${TARGET_MB_PER_SECOND} or the disk's ${diskSpeed.toFixed(0)} (dd conv=fsync)`,
    measured:
      `${speed.toFixed(0)} beside the ${start!.toFixed(2)} s that an export without rows takes ` +
      `(with them: ${(size! / whole!).toFixed(0)}; ${size!.toFixed(0)} MB in ${whole!.toFixed(2)} s)`,
    isReached: speed >= Math.min(TARGET_MB_PER_SECOND, diskSpeed),
  };
  return { figures: [figure], runs: [...ours, ...starts, ...theirs] };
}
