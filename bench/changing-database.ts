// A copy of the benchmark's data on a server that summarizes its WAL, changed and backed up in turn.

import { rm } from "node:fs/promises";

import type { BackupReceipt } from "../src/operations/backup/index.ts";
import { folderSizeBytes, type Bench } from "./bench.ts";
import type { Measurement } from "./measure.ts";

const TABLES = ["words", "events", "orders", "documents", "ratings"];
const HASH_RANGE = 2 ** 20;

/** SQL that updates so many percent of the rows of three tables, spread over all of each; other ones for another hour. */
export function updatedRows(percent: number, hour: number): string {
  const chosen = `(hashint8(id + ${hour}) & ${HASH_RANGE - 1}) < ${Math.round((HASH_RANGE * percent) / 100)}`;
  return `UPDATE events SET amount = amount + 1 WHERE ${chosen};
UPDATE orders SET total = total + 1 WHERE ${chosen};
UPDATE ratings SET stars = 6 - stars WHERE ${chosen};
`;
}

/** SQL that adds so many percent of rows to the end of each table. */
export function appendedRows(percent: number, hour: number): string {
  const period = Math.round(100 / percent);
  const from = (table: string): string =>
    `FROM ${table}, (SELECT max(id) AS n FROM ${table}) AS s WHERE id % ${period} = ${hour % period};`;
  return `
INSERT INTO events SELECT id + s.n, happened_at + interval '1 year', customer_id, kind, amount, payload, note ${from("events")}
INSERT INTO orders SELECT id + s.n, customer_id, placed_at, total, address ${from("orders")}
INSERT INTO documents SELECT id + s.n, title, reverse(body) ${from("documents")}
INSERT INTO ratings SELECT id + s.n, product_id, stars, comment ${from("ratings")}
`;
}

/** One backup: the run, what its receipt says, and by how much the repository grew. */
export interface ChangeBackup {
  readonly run: Measurement;
  readonly receipt: BackupReceipt;
  readonly grownBytes: number;
}

/** See the head of this file. */
export class ChangingDatabase {
  readonly repository: string;
  readonly #bench: Bench;
  readonly #database: string;
  #sizeBytes = 0;

  private constructor(bench: Bench, database: string, repository: string) {
    this.#bench = bench;
    this.#database = database;
    this.repository = repository;
  }

  static async create(bench: Bench, database: string): Promise<ChangingDatabase> {
    const { server } = bench;
    await server.psql("postgres", "-c", "ALTER SYSTEM SET summarize_wal = on", "-c", "SELECT pg_reload_conf()");
    await server.createDatabase(database, "bench");
    // Rewritten: rows that are added go to the end, as no VACUUM has noted free space in old pages. Then all is read, by which
    // the marks of committed rows are set that the first backup would else set, and log.
    const reads = TABLES.flatMap((table) => ["-c", `SELECT count(*) FROM ${table}`]);
    await server.psql(database, "-c", "VACUUM (FULL, ANALYZE)", ...reads, "-c", "CHECKPOINT");
    return new ChangingDatabase(bench, database, await bench.newRepository("incremental"));
  }

  get uri(): string {
    return this.#bench.server.uri(this.#database);
  }

  /** Of the repository. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async backup(label: string): Promise<ChangeBackup> {
    const words = ["backup", this.uri, "--repo", this.repository, "--jobs", "2", "--checkpoint", "now", "--explain"];
    const run = await this.#bench.cairn(words, label);
    const before = this.#sizeBytes;
    this.#sizeBytes = await folderSizeBytes(this.repository);
    return { run, receipt: JSON.parse(run.output) as BackupReceipt, grownBytes: this.#sizeBytes - before };
  }

  async psql(sql: string): Promise<void> {
    await this.#bench.server.psql(this.#database, "-c", sql);
  }

  async drop(): Promise<void> {
    await this.#bench.server.dropDatabase(this.#database);
    await rm(this.repository, { recursive: true });
  }
}
