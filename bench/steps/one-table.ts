// One table of 1 % of the bytes out of the repository: how much of it is read.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { atMost, type StepResult } from "../figure.ts";
import type { RestoreReport } from "../../src/operations/restore/index.ts";
import type { ShowResult } from "../../src/operations/show/index.ts";

const TABLE = "ratings";
const SCRATCH = "bench_scratch";
const MIB = 1024 * 1024;

export async function oneTable(bench: Bench): Promise<StepResult> {
  const { repository } = await bench.prepare();
  const { server } = bench;
  const show = await bench.cairn(["show", "latest", "--repo", repository]);
  const summary = JSON.parse(show.output) as Extract<ShowResult, { what: "summary" }>;
  const { sealedBytes } = summary.tables.find(({ name }) => name === `public.${TABLE}`)!;
  const allBytes = summary.tables.reduce((sum, table) => sum + table.sealedBytes, 0);
  await server.dropDatabase(SCRATCH);
  const to = ["--to", server.uri("postgres"), "-t", TABLE, `--scratch=${SCRATCH}`];
  const run = await bench.cairn(["restore", "latest", "--repo", repository, ...to], "cairn restore -t");
  await server.dropDatabase(SCRATCH);
  const { bytesRead, requestCount } = JSON.parse(run.output) as RestoreReport;
  const manifestBytes = await onlyManifestBytes(join(repository, "backups"));
  // The table's list is a few KiB more; without it the limit is a little stricter than it has to be.
  const limit = Math.floor(1.1 * sealedBytes + manifestBytes + MIB);
  const percent = ((sealedBytes / allBytes) * 100).toFixed(2);
  const text = `${bytesRead} in ${requestCount} requests (the table: ${sealedBytes} sealed, ${percent} % of all)`;
  return { figures: [atMost(`restore -t ${TABLE}: bytes read from storage`, bytesRead, limit, text)], runs: [run] };
}

async function onlyManifestBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  if (files.length !== 1) throw new Error(`${files.length} manifests in ${directory} instead of one`);
  return (await stat(join(files[0]!.parentPath, files[0]!.name))).size;
}
