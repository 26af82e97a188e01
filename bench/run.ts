// `npm run bench`: Cairn against PostgreSQL's own tools, all figures in one run. Prints a table, writes
// docs/benchmarks.md when asked, and ends with status 1 when a target was missed.

import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { Bench } from "./bench.ts";
import { loadData } from "./data.ts";
import type { StepResult } from "./figure.ts";
import { describeMachine } from "./machine.ts";
import { helpText, readOptions, type Options } from "./options.ts";
import { unpackPackage } from "./package.ts";
import { benchmarksPage, memoryFigures, terminalText, type Report } from "./report.ts";
import { BenchServer } from "./server.ts";
import { compression } from "./steps/compression.ts";
import { dump } from "./steps/dump.ts";
import { exportArchive } from "./steps/export.ts";
import { firstBackup } from "./steps/first-backup.ts";
import { hourly } from "./steps/hourly.ts";
import { incremental } from "./steps/incremental.ts";
import { largeValue } from "./steps/large-value.ts";
import { oneTable } from "./steps/one-table.ts";
import { profile } from "./steps/profile.ts";
import { readers } from "./steps/readers.ts";
import { restore } from "./steps/restore.ts";
import { schema } from "./steps/schema.ts";
import { secondBackup } from "./steps/second-backup.ts";

const STEPS: Readonly<Record<string, (bench: Bench) => Promise<StepResult>>> = {
  "first-backup": firstBackup,
  dump,
  readers,
  "second-backup": secondBackup,
  restore,
  "one-table": oneTable,
  export: exportArchive,
  schema,
  "large-value": largeValue,
  incremental,
  hourly,
  profile,
  compression,
};

const usageStatus = 64;
const reportFile = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
await main();

async function main(): Promise<void> {
  const options = readOptionsOrExit();
  const folder = options.data === null ? await mkdtemp(join(tmpdir(), "cairn-bench-")) : resolve(options.data);
  process.on("exit", () => process.stderr.write(options.data === null ? "" : `the data is in ${folder}\n`));
  const files = join(folder, "files");
  try {
    await rm(files, { recursive: true, force: true }); // of a run that was killed
    await mkdir(files, { recursive: true });
    await chmod(folder, 0o755); // the server may run as another user
    const report = await runSteps(options, { folder, files });
    console.log(terminalText(report));
    if (options.writes) await writeFile(reportFile, benchmarksPage(report, await readFile(reportFile, "utf8")));
    const missedCount = report.figures.filter(({ isReached }) => isReached === false).length;
    if (missedCount > 0) console.log(`\n${missedCount} of ${report.figures.length} targets missed`);
    process.exitCode = missedCount > 0 && !options.mayMiss ? 1 : 0;
  } finally {
    await rm(options.data === null ? folder : files, { recursive: true, force: true });
  }
}

async function runSteps(options: Options, { folder, files }: { folder: string; files: string }): Promise<Report> {
  await using server = await BenchServer.start(join(folder, "server"));
  const { scale, pairs } = options;
  const textBytes = await loadData(server, scale);
  const packageDirectory = await unpackPackage(join(files, "package"));
  const bench = new Bench(server, { pairs, directory: files, packageDirectory });
  const results: StepResult[] = [];
  for (const name of options.steps) {
    process.stderr.write(`${name}\n`);
    results.push(await STEPS[name]!(bench));
  }
  // A run that several steps compare with is one run.
  const runs = [...new Set(results.flatMap((result) => result.runs))];
  return {
    machine: await describeMachine(server, files),
    scale,
    textBytes,
    pairs,
    figures: [...results.flatMap((result) => result.figures), ...memoryFigures(runs)],
    runs,
    notes: results.flatMap((result) => result.notes ?? []),
  };
}

function readOptionsOrExit(): Options {
  const steps = Object.keys(STEPS);
  try {
    const options = readOptions(process.argv.slice(2), steps);
    if (options !== null) return options;
    process.stdout.write(helpText(steps));
    process.exit(0);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${helpText(steps)}`);
    process.exit(usageStatus);
  }
}
