// A second backup after 1 % of rows was appended to each table: how much the repository grew.
// The tables are rewritten first: a server puts new rows into the holes of old pages that a VACUUM has noted, and a
// rewritten table has no notes. What it costs with such notes is shown beside it, for information.

import { rm } from "node:fs/promises";

import { folderSizeBytes, type Bench } from "../bench.ts";
import { atMost, type StepResult } from "../figure.ts";

const DATABASE = "bench_second";

const APPEND = `
INSERT INTO events SELECT id + s.n, happened_at + interval '1 year', customer_id, kind, amount, payload, note
  FROM events, (SELECT max(id) AS n FROM events) AS s WHERE id % 100 = 0;
INSERT INTO orders SELECT id + s.n, customer_id, placed_at, total, address
  FROM orders, (SELECT max(id) AS n FROM orders) AS s WHERE id % 100 = 0;
INSERT INTO documents SELECT id + s.n, title, reverse(body)
  FROM documents, (SELECT max(id) AS n FROM documents) AS s WHERE id % 100 = 0;
INSERT INTO ratings SELECT id + s.n, product_id, stars, comment
  FROM ratings, (SELECT max(id) AS n FROM ratings) AS s WHERE id % 100 = 0;
`;

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
  await server.psql(DATABASE, "-c", APPEND);
  const appended = await next("cairn backup (second)");
  await server.psql(DATABASE, "-c", "VACUUM", "-c", APPEND);
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
