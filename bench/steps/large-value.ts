// One value of 500 MB (1 GB of COPY text) through dump, backup and restore: its memory is what counts.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";

const DATABASE = "bench_large_value";
const RESTORED = "bench_large_value_restored";
/** 125 times 4 MB of noise: nothing that compresses within one chunk. */
const GENERATE = `
CREATE TABLE large_values (id int PRIMARY KEY, value bytea NOT NULL);
ALTER TABLE large_values ALTER COLUMN value SET STORAGE EXTERNAL;
INSERT INTO large_values
  SELECT 1, string_agg(piece, '') FROM generate_series(1, 125),
    (SELECT string_agg(sha256(int4send(n)), '') AS piece FROM generate_series(1, 125000) AS n) AS noise`;
const SUM = "SELECT length(value) || ' ' || md5(value) FROM large_values";

export async function largeValue(bench: Bench): Promise<StepResult> {
  const { server } = bench;
  if (!(await server.hasDatabase(DATABASE))) {
    process.stderr.write("  generating a value of 500 MB\n");
    await server.createDatabase(`${DATABASE}_new`);
    await server.psql(`${DATABASE}_new`, "-c", GENERATE);
    await server.psql("postgres", "-c", `ALTER DATABASE ${DATABASE}_new RENAME TO ${DATABASE}`);
  }
  const uri = server.uri(DATABASE);
  const file = bench.path("large-value.dump");
  const dump = await bench.cairn(["dump", uri, "--file", file, "--overwrite"], "cairn dump (500 MB value)");
  await rm(file);
  const repository = await bench.newRepository("large-value");
  const backup = await bench.cairn(["backup", uri, "--repo", repository], "cairn backup (500 MB value)");
  await server.createDatabase(RESTORED);
  const to = ["--to", server.uri(RESTORED), "--jobs", "2"];
  const restore = await bench.cairn(["restore", "latest", "--repo", repository, ...to], "cairn restore (500 MB value)");
  const [source, restored] = [await server.psql(DATABASE, "-c", SUM), await server.psql(RESTORED, "-c", SUM)];
  await server.dropDatabase(RESTORED);
  await rm(repository, { recursive: true });
  const isReached = source === restored && source.startsWith("500000000 ");
  const measured = isReached ? "equal" : `${restored} instead of ${source}`;
  const figure = { name: "a value of 500 MB, restored", target: "equal", measured, isReached };
  return { figures: [figure], runs: [dump, backup, restore] };
}
