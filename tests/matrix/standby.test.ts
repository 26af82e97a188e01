// Backups read from a hot standby: one is equal to the primary's database but for what a standby cannot give; one that
// the standby cancels, because replay must not wait for its snapshot, fails with the cure and leaves no restore point.

import { execFileSync } from "node:child_process";

import { afterAll, beforeAll, expect, test } from "vitest";

import { isOperatingError, type OperatingError } from "../../src/base/errors.ts";
import { officialExceptions } from "../support/comparison-exceptions.ts";
import { compareDatabases, formatDifferences, type ComparisonException } from "../support/compare.ts";
import { loadDatabase } from "../support/databases.ts";
import { clientTools, ownServer, runAsServerUser, type OwnServer, type TestDatabase } from "../support/servers.ts";
import { cleanEnvironment } from "../support/server-user.ts";
import { countCombinations, TestRepository } from "./support.ts";

const MAJOR = 18;
const REPLAY_TIMEOUT_MS = 60_000;

const count = countCombinations("standby");
const disposables = new AsyncDisposableStack();
let repository: TestRepository;
let primary: OwnServer;
let standby: OwnServer;

beforeAll(async () => {
  repository = disposables.use(await TestRepository.create());
  primary = disposables.use(await ownServer(MAJOR));
  const { pgBasebackup } = await clientTools(MAJOR);
  const settings = { hot_standby_feedback: "off", max_standby_streaming_delay: "100ms", summarize_wal: "off" };
  standby = disposables.use(
    await ownServer(MAJOR, {
      settings,
      fillDataDirectory: async (dataDirectory) => {
        const args = ["-D", dataDirectory, "-R", "-c", "fast", "--no-sync", "-d", primary.uri("postgres")];
        await runAsServerUser(pgBasebackup, args);
      },
    }),
  );
});
afterAll(() => disposables.disposeAsync());

/** Waits until the standby has replayed what the primary has written. */
async function caughtUp(): Promise<void> {
  const lsn = await primary.psql("postgres", "SELECT pg_current_wal_lsn()");
  const replayed = `SELECT pg_last_wal_replay_lsn() >= '${lsn}'`;
  await expect.poll(() => standby.psql("postgres", replayed), { timeout: REPLAY_TIMEOUT_MS }).toBe("t");
}

/** What a standby gives otherwise than its primary, and pg_dump from a standby with it. */
async function standbyExceptions(source: TestDatabase): Promise<ComparisonException[]> {
  const relations = (
    kinds: string,
    persistence: string,
  ): string => `SELECT quote_ident(n.nspname) || '.' || quote_ident(relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relpersistence = '${persistence}' AND relkind IN (${kinds})`;
  const unlogged = new Set((await source.psql(relations("'r', 'p', 'm', 'S'", "u"))).split("\n"));
  const sequences = await standby.psql(
    source.name,
    `SELECT format('SELECT %L, last_value, is_called FROM %s', name, name) FROM (${relations("'S'", "p")}) AS s (name) \\gexec`,
  );
  const onStandby = new Set(sequences.split("\n"));
  return [
    {
      name: "unlogged relations",
      reason: "their contents are not on a standby",
      covers: ({ kind, name }) => (kind === "rows" || kind === "sequence") && unlogged.has(name),
    },
    {
      name: "sequences ahead",
      reason: "a sequence is logged 32 values ahead of its use, and a standby has what is logged",
      covers: ({ kind, name, right }) => {
        const [value, isCalled] = (right ?? "").split(" ");
        return kind === "sequence" && onStandby.has(`${name}|${value}|${isCalled === "true" ? "t" : "f"}`);
      },
    },
  ];
}

test("backup from a hot standby restores to the primary's database", async () => {
  await using source = await loadDatabase(primary, "torture");
  await caughtUp();
  // Never less than what was asked for: their rows must be left out by name.
  const refused = repository.backup(standby.uri(source.name));
  await expect(refused).rejects.toMatchObject({
    code: "preflight_failed",
    detail: expect.stringContaining("--no-unlogged-table-data") as unknown,
  });
  const receipt = await repository.backup(standby.uri(source.name), { selection: ["--no-unlogged-table-data"] });
  await using copy = await primary.createDatabase();
  const report = await repository.restore(receipt.id, copy.uri);
  expect(report).toMatchObject({ isComplete: true, entriesFailed: [] });
  const official = officialExceptions({ sourceMajor: MAJOR, targetMajor: MAJOR, toolsMajor: MAJOR });
  const exceptions = [...official, ...(await standbyExceptions(source))];
  const { differences, counts } = await compareDatabases(source, copy, { exceptions });
  expect(formatDifferences(differences)).toBe("");
  expect(counts.schema).toBeGreaterThan(700);
  count("torture", String(MAJOR), "hot standby → restore");
});

test("backup that the standby's replay cancels fails with the cure and leaves no restore point", async () => {
  await using source = await primary.createDatabase();
  await source.psql("CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS word FROM generate_series(1, 100000) i");
  await source.psql("CREATE INDEX ON big (i)");
  await caughtUp();
  const lineage = "cancelled";
  const first = await repository.backup(standby.uri(source.name), { lineage });
  let hasProvoked = false;
  const failure = await repository
    .backup(standby.uri(source.name), {
      lineage,
      onEvent: (event) => {
        if (event.type !== "segment-started" || hasProvoked) return;
        hasProvoked = true;
        provokeConflict(source);
      },
    })
    .then(
      () => null,
      (error: unknown) => error,
    );
  expect(hasProvoked).toBe(true);
  expect(isOperatingError(failure)).toBe(true);
  const { message, detail, hint } = failure as OperatingError;
  process.stdout.write(`recovery conflict: ${message}\n  ${detail}\n  ${hint}\n`);
  expect(`${message} ${detail}`).toMatch(/conflict with recovery|session that holds the snapshot was lost/);
  expect(hint).toContain("hot_standby_feedback");
  expect(hint).toContain("max_standby_streaming_delay");
  const { restorePoints } = await repository.list(lineage);
  expect(restorePoints.map(({ id }) => id)).toEqual([first.id]);
  // The standby itself is as before: with nothing to replay the same backup succeeds.
  await caughtUp();
  expect(await repository.backup(standby.uri(source.name), { lineage })).toMatchObject({ rowCount: 50_000 });
  count("big", String(MAJOR), "hot standby, recovery conflict");
});

/** Removes rows that the standby's snapshot sees, and waits, with this process at rest, until its sessions are cancelled. */
function provokeConflict(source: TestDatabase): void {
  const run = (uri: string, sql: string): string =>
    execFileSync(primary.tools.psql, ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", sql], {
      env: cleanEnvironment(),
      encoding: "utf8",
    }).trim();
  run(source.uri, "DELETE FROM big WHERE i % 2 = 0");
  run(source.uri, "VACUUM (INDEX_CLEANUP on) big");
  const conflicts = `SELECT sum(confl_snapshot + confl_lock + confl_bufferpin + confl_deadlock) > 0
    FROM pg_stat_database_conflicts WHERE datname = '${source.name}'`;
  const deadline = Date.now() + REPLAY_TIMEOUT_MS;
  while (run(standby.uri("postgres"), conflicts) !== "t") {
    if (Date.now() > deadline) throw new Error("no recovery conflict came");
  }
}
