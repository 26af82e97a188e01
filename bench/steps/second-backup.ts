// A second backup after 1 % of rows was appended to each table: how much the repository grew.

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
  const first = await bench.firstBackup("second", DATABASE);
  const repository = bench.path("second");
  const firstBytes = await folderSizeBytes(repository);
  await server.psql(DATABASE, "-c", APPEND);
  const args = ["backup", server.uri(DATABASE), "--repo", repository, "--jobs", "2"];
  const second = await bench.cairn(args, "cairn backup (second)");
  const grownBytes = (await folderSizeBytes(repository)) - firstBytes;
  await server.dropDatabase(DATABASE);
  await rm(repository, { recursive: true });
  const percent = (grownBytes / firstBytes) * 100;
  const text = `${percent.toFixed(2)} % (${grownBytes} of ${firstBytes} bytes in the repository's folder)`;
  const figure = atMost("second backup, 1 % of rows appended: bytes stored, % of the first", percent, 3, text);
  return { figures: [figure], runs: [first, second] };
}
