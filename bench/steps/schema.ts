// The schema of 10,000 tables, against pg_dump.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import { atMost, type StepResult } from "../figure.ts";
import { runPairs } from "../pairs.ts";
import { median } from "../statistics.ts";

const DATABASE = "bench_schema";
const TABLE_COUNT = 10_000;
const FACTOR = 2.5;
const MORE_SECONDS = 1;

/** A few to a transaction: each holds the locks of its tables until it ends. */
const GENERATE = `
DO $$ BEGIN
  FOR n IN 1..${TABLE_COUNT} LOOP
    EXECUTE format('CREATE TABLE table_%s (id bigint PRIMARY KEY, name text NOT NULL, amount numeric(12, 2), '
      'made_at timestamptz DEFAULT now())', n);
    IF n % 100 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$`;

/** The database of so many tables, made by the step that needs it first; gives its URI. */
export async function manyTables({ server }: Bench): Promise<string> {
  if (!(await server.hasDatabase(DATABASE))) {
    process.stderr.write(`  generating ${TABLE_COUNT} tables\n`);
    await server.createDatabase(`${DATABASE}_new`);
    await server.psql(`${DATABASE}_new`, "-c", "SET synchronous_commit = off", "-c", GENERATE);
    await server.psql(`${DATABASE}_new`, "-c", "VACUUM ANALYZE");
    await server.psql("postgres", "-c", `ALTER DATABASE ${DATABASE}_new RENAME TO ${DATABASE}`);
  }
  return server.uri(DATABASE);
}

export async function schema(bench: Bench): Promise<StepResult> {
  const uri = await manyTables(bench);
  const file = bench.path("schema.dump");
  const backup = async (args: readonly string[], label: string) => {
    const repository = await bench.newRepository("schema");
    return await bench.cairn(["backup", uri, "--repo", repository, "-s", ...args], label);
  };
  const pairs = await runPairs(
    bench.settings.pairs,
    () => backup([], "cairn backup -s"),
    () => bench.pgDump(["-s", "-Fc", "-f", file, "-d", uri], "pg_dump -s -Fc"),
  );
  const bundled = await backup(["--pg-dump", "bundled"], "cairn backup -s --pg-dump bundled");
  await Promise.all([rm(file), rm(bench.path("schema"), { recursive: true })]);
  const theirs = median(pairs.theirs.map(({ wallSeconds }) => wallSeconds));
  const limit = FACTOR * theirs + MORE_SECONDS;
  const figure = (name: string, seconds: number) =>
    atMost(name, seconds, Number(limit.toFixed(2)), `${seconds.toFixed(2)} s (pg_dump -s -Fc: ${theirs.toFixed(2)} s)`);
  return {
    figures: [
      figure("backup -s of 10,000 tables, seconds", median(pairs.ours.map(({ wallSeconds }) => wallSeconds))),
      { ...figure("the same with the bundled pg_dump", bundled.wallSeconds), isReached: null, target: "" },
    ],
    runs: [...pairs.ours, ...pairs.theirs, bundled],
  };
}
