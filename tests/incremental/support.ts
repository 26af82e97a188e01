// A server that keeps WAL summaries, a database with a table of several segments, a repository, and backups that read only
// what can have changed. What a restore point holds is judged by restoring it and comparing with the source.

import type { BackupReceipt, BackupSettings } from "../../src/operations/backup/index.ts";
import type { ReadingSettings } from "../../src/operations/backup/incremental/types.ts";
import { TestRepository } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { ownServer, runAsServerUser } from "../support/servers.ts";
import type { Major, OwnServer, TestDatabase, TestServer } from "../support/servers.ts";

/** Nothing that touches blocks by itself, no timed checkpoint, and WAL that survives a crash. */
const SETTINGS = {
  fsync: "on",
  summarize_wal: "on",
  autovacuum: "off",
  checkpoint_timeout: "1h",
  max_wal_size: "4GB",
};

/** What a test reads with: a checkpoint is asked for, so that nothing is waited for. */
export const READING: ReadingSettings = {
  isFull: false,
  isReread: false,
  rereadEvery: 24,
  checkpoint: "now",
  isExplained: true,
};

/** Segments of the table `item`; a block holds about ten rows. */
export const SEGMENT_COUNT = 3;
const ROW_COUNT = 13_000;

/** `item` of several segments, `kind` with an enum, both with rows all visible so that reading them touches nothing. */
export const SAMPLE = `
  CREATE TYPE mood AS ENUM ('well', 'so-so', 'ill');
  CREATE TABLE item (id int, word text, at timestamptz) WITH (fillfactor = 10);
  INSERT INTO item SELECT i, md5(i::text), '2026-01-01Z'::timestamptz + i * interval '1 min' FROM generate_series(1, ${ROW_COUNT}) i;
  CREATE TABLE kind (id int, feels mood) WITH (fillfactor = 10);
  INSERT INTO kind SELECT i, (ARRAY['well', 'so-so', 'ill'])[1 + i % 3]::mood FROM generate_series(1, 1000) i;
  VACUUM item, kind;`;

/** Why segments of a table were read, and how many. */
export function reasonsOf({ reading }: BackupReceipt, table: string): Readonly<Record<string, number>> {
  return reading.explanation?.relations.find(({ name }) => name === table)?.readBecause ?? {};
}

/** Database and repository of a test. */
export class IncrementalBench implements AsyncDisposable {
  readonly server: TestServer;
  readonly source: TestDatabase;
  readonly repository: TestRepository;
  readonly #ownsSource: boolean;

  private constructor(source: TestDatabase, repository: TestRepository, ownsSource: boolean) {
    this.server = source.server;
    this.source = source;
    this.repository = repository;
    this.#ownsSource = ownsSource;
  }

  /** A server for several tests. */
  static async startServer(major: Major, initdbArguments: readonly string[] = []): Promise<OwnServer> {
    return await ownServer(major, { settings: SETTINGS, initdbArguments });
  }

  /** A hot standby of such a server. */
  static async startStandby(primary: TestServer): Promise<OwnServer> {
    const { pgBasebackup } = primary.tools;
    return await ownServer(primary.major, {
      settings: { ...SETTINGS, hot_standby_feedback: "on" },
      fillDataDirectory: async (folder) => {
        const args = ["-D", folder, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", primary.uri("postgres")];
        await runAsServerUser(pgBasebackup, args);
      },
    });
  }

  /** A new database with the sample in it, dropped at the end. */
  static async on(server: TestServer): Promise<IncrementalBench> {
    const source = await server.createDatabase();
    await source.psql(`${SAMPLE} CHECKPOINT;`); // the interval in which the database was made counts as touched
    return new IncrementalBench(source, await TestRepository.create(), true);
  }

  /** A database of somebody else's. */
  static async of(source: TestDatabase): Promise<IncrementalBench> {
    return new IncrementalBench(source, await TestRepository.create(), false);
  }

  async backup(reading: Partial<ReadingSettings> = {}, settings: Partial<BackupSettings> = {}): Promise<BackupReceipt> {
    const { source = this.source.uri, ...rest } = settings;
    return await this.repository.backup(source, { reading: { ...READING, ...reading }, ...rest });
  }

  /** Restores a restore point into a new database, and compares that with the source as it is now. */
  async expectEqual(id: string): Promise<void> {
    await using copy = await this.server.createDatabase();
    await this.repository.restore(id, copy.uri);
    const { differences, counts } = await compareDatabases(this.source, copy);
    if (differences.length > 0) throw new Error(`${id} is not what the source is:\n${formatDifferences(differences)}`);
    if (counts.rows < 2) throw new Error(`${counts.rows} tables were compared`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.repository[Symbol.asyncDispose]();
    if (this.#ownsSource) await this.source[Symbol.asyncDispose]();
  }
}
