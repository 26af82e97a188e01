// The command line of whole servers: settings of backup and restore --cluster, what they print, their exit statuses.

import { describe, expect, test } from "vitest";

import type { ClusterReceipt } from "../operations/backup-cluster/types.ts";
import type { ClusterRestoreReport } from "../operations/restore-cluster/types.ts";
import type { Caller } from "./caller.ts";
import { parseCommandLine } from "./command-line.ts";
import { backup } from "./commands/backup.ts";
import { restore } from "./commands/restore.ts";
import * as samples from "./output/sample-results.fixture.ts";
import { sanitizeText } from "./output/sanitize.ts";

const caller: Caller = {
  environment: {},
  isOutputTerminal: false,
  signal: new AbortController().signal,
  askSecret: null,
  showText: async () => undefined,
  notify: () => undefined,
};

async function settingsOf(...words: string[]): Promise<unknown> {
  const request = await parseCommandLine([...words, "-R", "/r"], "1");
  if (request.kind !== "run") throw new Error("no command");
  return await request.verb.readSettings(request.line, caller);
}

const { HOSTILE } = samples;
const taken = "2026-11-22T10:00:00.000Z";

const receipt: ClusterReceipt = {
  id: "20261122T100000Z-abc",
  lineage: "cluster:host",
  parentId: null,
  repository: "/backups",
  server: "host:5432",
  serverVersion: "18.4",
  startedAt: taken,
  finishedAt: taken,
  durationMs: 3000,
  globals: { roleCount: 3, membershipCount: 1, tablespaceCount: 0, passwords: "carried" },
  databases: [
    { databaseName: HOSTILE, receipt: samples.backupReceipt, error: null },
    { databaseName: "broken", receipt: null, error: { code: "query_failed", message: HOSTILE, hint: null } },
  ],
  leftOut: ["template0: every server has it as it was made"],
  rowCount: 1,
  rawBytes: 2,
  newBytes: 3,
  warnings: [HOSTILE],
  isComplete: false,
};

const report: ClusterRestoreReport = {
  restorePointId: "20261122T100000Z-abc",
  server: "host:5432",
  globals: { doneCount: 4, failed: [], differences: [`role ${HOSTILE} is there`], adaptations: [] },
  databases: [
    {
      databaseName: HOSTILE,
      restorePointId: "x",
      wasThere: false,
      report: { ...samples.restoreReport, entriesFailed: [], isComplete: true },
      error: null,
    },
  ],
  rowCount: 1,
  rawBytes: 2,
  durationMs: 3000,
  isComplete: true,
};

describe("cairn backup --cluster", () => {
  test("reads its settings", async () => {
    const words = [
      "backup",
      "postgresql://h",
      "--cluster",
      "--exclude-database",
      "a*",
      "--exclude-database",
      "b",
      "--no-role-passwords",
    ];
    expect(await settingsOf(...words)).toMatchObject({
      source: "postgresql://h",
      excludedDatabases: ["a*", "b"],
      withRolePasswords: false,
    });
    expect(await settingsOf("backup", "--cluster")).toMatchObject({ excludedDatabases: [], withRolePasswords: true });
  });

  test.each([
    [["--exclude-database", "a"], "option --exclude-database needs --cluster"],
    [["--cluster", "--no-globals"], "options --no-globals and --cluster cannot be used together"],
    [["--cluster", "-t", "x"], "option --table makes no sense with --cluster"],
    [["--cluster", "--data-only"], "option --data-only makes no sense with --cluster"],
    [["--no-globals", "--no-role-passwords"], "cannot be used together"],
  ])("refuses %j", async (words, message) => {
    await expect(settingsOf("backup", "shop", ...words)).rejects.toThrow(message);
  });

  test("prints what failed last, and its exit status is 3 then", () => {
    const text = backup.render(receipt);
    expect(text).toBe(sanitizeText(text));
    expect(text).toContain(String.raw`broken: public.evil\x1b]0;gotcha`);
    expect(text).toMatch(/\n\nNOT COMPLETE: 1 database of 2 could not be backed up\.\n$/);
    expect(backup.exitStatus(receipt)).toBe(3);
    expect(backup.exitStatus({ ...receipt, isComplete: true })).toBe(0);
  });
});

describe("cairn restore --cluster", () => {
  test("reads its settings", async () => {
    const words = ["restore", "cluster:h@latest", "--to", "h", "--cluster", "-j", "4", "--older-server"];
    expect(await settingsOf(...words, "--tablespace-mapping", "/old=/new")).toMatchObject({
      reference: "cluster:h@latest",
      target: "h",
      jobs: 4,
      allowsOlderServer: true,
      tablespaceMapping: { "/old": "/new" },
    });
  });

  test.each([
    [["--older-server"], "option --older-server needs --cluster"],
    [["--cluster", "-t", "x"], "of pg_restore's options only --jobs makes sense with --cluster"],
    [["--cluster", "--scratch"], "only --jobs makes sense with --cluster"],
  ])("refuses %j", async (words, message) => {
    await expect(settingsOf("restore", "latest", "--to", "h", ...words)).rejects.toThrow(message);
  });

  test("says what came out; exit status 1 for what failed, 3 for what the backup had missed", () => {
    const text = restore.render(report);
    expect(text).toBe(sanitizeText(text));
    expect(text).toMatch(/\nThe server holds everything of 20261122T100000Z-abc\.\n$/);
    expect(restore.exitStatus(report)).toBe(0);

    const missing = {
      databaseName: "m",
      restorePointId: null,
      wasThere: false,
      report: null,
      error: "its backup failed",
    };
    const incomplete = { ...report, databases: [...report.databases, missing], isComplete: false };
    expect(restore.exitStatus(incomplete)).toBe(3);
    expect(restore.render(incomplete)).toMatch(/m {2,}MISSING.*FAILED\n[^]*m: its backup failed\n\nNOT COMPLETE/);

    const failed = { ...report, databases: [{ ...missing, restorePointId: "x" }], isComplete: false };
    expect(restore.exitStatus(failed)).toBe(1);
    const globals = { ...report.globals, failed: [{ subject: 'role "a"', error: "no" }] };
    expect(restore.exitStatus({ ...report, globals, isComplete: false })).toBe(1);
    expect(restore.render({ ...report, globals, isComplete: false })).toContain('FAILED:\n  - role "a": no\n');
  });
});
