// A second backup after 1 % of rows was appended to each table: how much the repository grew.
// The tables are rewritten first: a server puts new rows into the holes of old pages that a VACUUM has noted, and a
// rewritten table has no notes. What it costs with such notes is shown beside it, for information.

import { rm } from "node:fs/promises";

import { folderSizeBytes, type Bench } from "../bench.ts";
import { appendedRows } from "../changing-database.ts";
import { atMost, type StepResult } from "../figure.ts";

const DATABASE = "bench_second";

export async function secondBackup(bench: Bench): Promise<StepResult> {
  const { server } = bench;
  await server.createDatabase(DATABASE, "bench");
  await server.psql(DATABASE, "-c", "VACUUM (FULL, ANALYZE)");
  const first = await bench.firstBackup("second", DATABASE);
  const repository = bench.path("second");
  const firstBytes = await folderSizeBytes(repository);
  const next = async (label: string) => {
    const before = await folderSizeBytes(repository);
    const run = await bench.cairn(["backup", server.uri(DATABASE), "--repo", repository, "--jobs", "2"], label);
    const grownBytes = (await folderSizeBytes(repository)) - before;
    const percent = (grownBytes / firstBytes) * 100;
    return { run, percent, text: `${percent.toFixed(2)} % (${grownBytes} of ${firstBytes} bytes)` };
  };
  await server.psql(DATABASE, "-c", appendedRows(1, 0));
  const appended = await next("cairn backup (second)");
  await server.psql(DATABASE, "-c", "VACUUM", "-c", appendedRows(1, 0));
  const scattered = await next("cairn backup (third)");
  await server.dropDatabase(DATABASE);
  await rm(repository, { recursive: true });
  return {
    figures: [
      atMost("second backup, 1 % of rows appended: bytes stored, % of the first", appended.percent, 3, appended.text),
      { name: "the same, rows put into holes after a VACUUM", target: "", measured: scattered.text, isReached: null },
    ],
    runs: [first, appended.run, scattered.run],
  };
}
