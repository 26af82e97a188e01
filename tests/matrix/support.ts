// What the matrix of databases, versions and paths is made of: one encrypted repository for a test file, the verbs as
// operations on it, the stock pg_restore beside them, and a count of what ran, printed at the end of each file.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { afterAll } from "vitest";

import { runBackup, type BackupReceipt, type BackupSettings } from "../../src/operations/backup/index.ts";
import { runExport, type ExportReport, type ExportSettings } from "../../src/operations/export/index.ts";
import { runList, type ListResult } from "../../src/operations/list/index.ts";
import type { OperationContext, OperationEvent, RepositoryAccess } from "../../src/operations/operation.ts";
import { runRestore, type RestoreReport, type RestoreSettings } from "../../src/operations/restore/index.ts";
import { runVerify, type VerifyReport } from "../../src/operations/verify/index.ts";
import { createCheapRepository } from "../support/cheap-repository.ts";
import { hasSampleData, SAMPLE_NAMES, type SampleName } from "../support/databases.ts";
import { clientTools, type ClientTools, MAJORS, type Major } from "../support/servers.ts";
import { cleanEnvironment } from "../support/server-user.ts";

const outputBytesMax = 256 << 20;

/** Everything on all versions; else what fits into `npm test`. */
export const isFullMatrix = process.env["CAIRN_TEST_MATRIX"] === "full";

export type DatabaseName = SampleName | "torture";

/** The sample databases that a major's round trip takes: torture everywhere, the rest on 15 and 18. */
export function databasesFor(major: Major): readonly DatabaseName[] {
  const takesAll = isFullMatrix || major === 15 || major === 18;
  return takesAll && hasSampleData ? ["torture", ...SAMPLE_NAMES] : ["torture"];
}

/** Counts the combinations of database, version and path that came out right; prints them after the file's tests. */
export function countCombinations(file: string): (database: string, version: string, path: string) => void {
  const done = new Map<string, Set<string>>();
  afterAll(() => {
    const count = [...done.values()].reduce((sum, set) => sum + set.size, 0);
    const lines = [...done].map(([path, set]) => `  ${path}: ${set.size} (${[...set].join(", ")})`);
    const missing = hasSampleData ? "" : "; without CAIRN_TEST_DATA only torture";
    process.stdout.write(
      `${file}: ${count} combinations of database, version and path${missing}\n${lines.join("\n")}\n`,
    );
  });
  return (database, version, path) => {
    const set = done.get(path) ?? new Set();
    done.set(path, set.add(`${database} ${version}`));
  };
}

/** PATH with the stock tools of every major that has its own: operations choose their pg_dump from it. */
export async function toolsPath(): Promise<string> {
  const tools = await Promise.all(MAJORS.map((major) => clientTools(major)));
  return [...new Set(tools.map(({ binDirectory }) => binDirectory))].join(delimiter);
}

/** An encrypted repository in a temporary folder, with the verbs that tests use. */
export class TestRepository implements AsyncDisposable {
  readonly folder: string;
  readonly access: RepositoryAccess;
  readonly events: OperationEvent[] = [];
  readonly #path: string;

  private constructor(folder: string, path: string, isEncrypted: boolean) {
    this.folder = folder;
    this.#path = path;
    this.access = {
      location: join(folder, "repository"),
      givenPassphrase: isEncrypted ? "correct horse battery staple" : null,
      askPassphrase: () => Promise.reject(new Error("nobody is there")),
    };
  }

  static async create({ isEncrypted = true } = {}): Promise<TestRepository> {
    const folder = await mkdtemp(join(tmpdir(), "cairn-matrix-"));
    const self = new TestRepository(folder, await toolsPath(), isEncrypted);
    await createCheapRepository(self.access.location, { passphrase: self.access.givenPassphrase });
    return self;
  }

  /** A path beside the repository. */
  file(name: string): string {
    return join(this.folder, name);
  }

  context(options: { readonly onEvent?: (event: OperationEvent) => void } = {}): OperationContext {
    return {
      signal: new AbortController().signal,
      environment: { PATH: this.#path },
      homeDirectory: "/nonexistent",
      userName: "postgres",
      onEvent: (event) => {
        if (event.type !== "progress") this.events.push(event);
        options.onEvent?.(event);
      },
    };
  }

  backup(
    source: string,
    settings: Partial<BackupSettings> & { readonly onEvent?: (event: OperationEvent) => void } = {},
  ): Promise<BackupReceipt> {
    const { onEvent, ...rest } = settings;
    return runBackup(this.context(onEvent ? { onEvent } : {}), this.settings(source, rest));
  }

  /** The settings of a backup of that source in which nothing was said that need not be. */
  settings(source: string, settings: Partial<BackupSettings> = {}): BackupSettings {
    return {
      source,
      repository: this.access,
      lineage: null,
      jobs: 2,
      tags: {},
      compression: null,
      pgDump: null,
      selection: [],
      ...settings,
    };
  }

  restore(reference: string, target: string, settings: Partial<RestoreSettings> = {}): Promise<RestoreReport> {
    return runRestore(this.context(), {
      repository: this.access,
      reference,
      target,
      options: { jobs: 2 },
      mode: { kind: "in-place" },
      allowsNonEmptyTarget: false,
      ...settings,
    });
  }

  export(reference: string, name: string, settings: Partial<ExportSettings> = {}): Promise<ExportReport> {
    return runExport(this.context(), {
      repository: this.access,
      reference,
      file: this.file(name),
      overwrite: false,
      format: "custom",
      archiveVersion: null,
      compression: null,
      ...settings,
    });
  }

  list(lineage: string | null = null): Promise<ListResult> {
    return runList(this.context(), { repository: this.access, lineage });
  }

  verify(reference: string): Promise<VerifyReport> {
    return runVerify(this.context(), { repository: this.access, reference });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What became of a stock pg_restore. */
export interface StockRestore {
  readonly status: number;
  /** Each "error:" with the lines that belong to it. */
  readonly errors: readonly string[];
  /** Dump ids of the entries with errors. */
  readonly failedIds: readonly number[];
}

/** Runs the stock pg_restore, with -v so that it names failed entries; errors are returned, not thrown. */
export function stockRestore(
  tools: ClientTools,
  file: string,
  target: string,
  flags: readonly string[] = [],
): Promise<StockRestore> {
  return new Promise((resolve) => {
    const options = { env: cleanEnvironment(), maxBuffer: outputBytesMax };
    execFile(tools.pgRestore, ["-v", ...flags, "-d", target, file], options, (error, _output, text) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      const errors = text.split(/^(?=pg_restore: )/m).filter((part) => part.startsWith("pg_restore: error:"));
      const failedIds = new Set([...text.matchAll(/from TOC entry (\d+);/g)].map((match) => Number(match[1])));
      resolve({
        status,
        errors: status !== 0 && errors.length === 0 ? [text] : errors,
        failedIds: [...failedIds].toSorted((a, b) => a - b),
      });
    });
  });
}

/** Exception by name: pg_restore 17 and later set what servers before 17 do not know, and go on. */
export function isNamedError(error: string, targetMajor: Major): boolean {
  return targetMajor < 17 && error.includes('unrecognized configuration parameter "transaction_timeout"');
}

/**
 * Exceptions by name: races of `pg_restore -j` itself; after one of them it is run again. It gives each ACL to whichever
 * connection is free: a grant that a grantee passes on needs the grantee's USAGE of the schema, which another connection may
 * not have committed yet, and what needs the grant fails too (on 15 once only that was reported, at the refresh of a
 * materialized view). And it runs ATTACH PARTITION of an index beside the check of a foreign key of the same partitions:
 * one of them can be the victim of a deadlock. With one job the same archive must restore at once.
 */
const RACES: ReadonlyMap<string, RegExp> = new Map([
  ["grant before the schema's", /permission denied for schema .*\nCommand was: GRANT /],
  ["refresh without its grant", /permission denied for table .*\nCommand was: REFRESH MATERIALIZED VIEW /],
  ["deadlock", /ERROR: {2}deadlock detected\n/],
]);

/** True after a race; says so. */
export function lostRace(errors: readonly string[], jobs: number, what: string): boolean {
  const race = [...RACES].find(([, pattern]) => jobs > 1 && errors.some((error) => pattern.test(error)));
  if (race !== undefined) process.stdout.write(`${what}: pg_restore -j${jobs} lost a race (${race[0]}), run again\n`);
  return race !== undefined;
}

/** So often is a stock pg_restore with several jobs tried. */
export const RESTORE_ATTEMPTS_MAX = 4;

/** The major of the pg_dump that a receipt names. */
export function pgDumpMajor(receipt: BackupReceipt): Major {
  const major = Number.parseInt(receipt.pgDump.version, 10);
  const known = MAJORS.find((candidate) => candidate === major);
  if (known === undefined) throw new Error(`pg_dump ${receipt.pgDump.version} is of no major that is tested`);
  return known;
}
