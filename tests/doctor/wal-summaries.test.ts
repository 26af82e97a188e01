// doctor on incremental reading: what is missing for it, never as something that stops a backup.

import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";

import type { Finding } from "../../src/operations/doctor/index.ts";
import { ownServer, runAsServerUser, server } from "../support/servers.ts";
import type { OwnServer } from "../support/servers.ts";
import { doctor } from "./support.ts";

/** Findings on WAL summaries, by code. */
async function summaryFindings(source: string): Promise<Record<string, Finding>> {
  const { findings } = await doctor(source);
  const own = findings.filter(({ code }) => code.startsWith("wal-summaries"));
  expect(own.every(({ severity }) => severity === "info" || severity === "ok")).toBe(true);
  return Object.fromEntries(own.map((finding) => [finding.code, finding]));
}

async function set(pg: OwnServer, settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await pg.psql("postgres", `ALTER SYSTEM SET ${name} = '${value}'`);
    await pg.psql("postgres", "SELECT pg_reload_conf()");
    while ((await pg.psql("postgres", `SHOW ${name}`)) !== value) await delay(10);
  }
}

test.each([13, 16] as const)("doctor says that PostgreSQL %i does not tell what changed", async (major) => {
  const pg = await server(major);
  const findings = await summaryFindings(pg.uri("postgres"));
  expect(Object.keys(findings)).toEqual(["wal-summaries"]);
  expect(findings["wal-summaries"]!.message).toBe(
    `PostgreSQL ${major} does not tell what changed: each backup reads all rows, and stores only what changed`,
  );
});

test("doctor says what incremental reading needs", async () => {
  const initdbArguments = ["--data-checksums"];
  await using pg = await ownServer(18, { settings: { summarize_wal: "off", fsync: "on" }, initdbArguments });
  await pg.psql("postgres", "CREATE ROLE plain LOGIN");
  const off = await summaryFindings(pg.uri("postgres"));
  expect(Object.keys(off)).toEqual(["wal-summaries"]);
  expect(off["wal-summaries"]).toMatchObject({
    severity: "info",
    message: "summarize_wal is off: each backup reads all rows, and stores only what changed",
  });
  for (const statement of off["wal-summaries"]!.statements!) await pg.psql("postgres", statement);
  while ((await pg.psql("postgres", "SHOW summarize_wal")) !== "on") await delay(10);

  const right = await summaryFindings(pg.uri("postgres"));
  expect(Object.keys(right)).toEqual(["wal-summaries"]);
  expect(right["wal-summaries"]).toMatchObject({
    severity: "ok",
    detail: expect.stringContaining("They are kept for 10d"),
    hint: "VACUUM a table after loading much into it.",
  });

  const plain = await summaryFindings(pg.uri("postgres", { user: "plain" }));
  expect(plain["wal-summaries-checkpoint"]).toMatchObject({
    message:
      "role plain may not ask for a checkpoint; a backup can only wait for the next one (checkpoint_timeout = 5min)",
    statements: ['GRANT pg_checkpoint TO "plain";'],
  });
  await pg.psql("postgres", plain["wal-summaries-checkpoint"]!.statements![0]!);
  expect(Object.keys(await summaryFindings(pg.uri("postgres", { user: "plain" })))).toEqual(["wal-summaries"]);

  await set(pg, { wal_summary_keep_time: "12h", checkpoint_timeout: "30min" });
  const short = await summaryFindings(pg.uri("postgres"));
  expect(short["wal-summaries-kept"]!.message).toContain("kept for 12h only");
  expect(short["wal-summaries-checkpoint"]!.message).toContain("checkpoint_timeout is 30min, longer than");
  for (const code of ["wal-summaries-kept", "wal-summaries-checkpoint"]) {
    for (const statement of short[code]!.statements!) await pg.psql("postgres", statement);
  }
  await set(pg, { fsync: "off" });
  const unsafe = await summaryFindings(pg.uri("postgres"));
  expect(Object.keys(unsafe)).toEqual(["wal-summaries"]);
  expect(unsafe["wal-summaries"]!.message).toMatch(/^fsync is off/);
  await set(pg, { fsync: "on" });

  const source = `host=127.0.0.1 port=${pg.port} user=postgres`;
  await using standby = await ownServer(18, {
    settings: { fsync: "on", primary_conninfo: source },
    fillDataDirectory: async (folder) => {
      await runAsServerUser(pg.tools.pgBasebackup, ["-D", folder, "-R", "-X", "stream", "-c", "fast", "-d", source]);
    },
  });
  const all = await summaryFindings(standby.uri("postgres"));
  expect(Object.keys(all).toSorted()).toEqual(["wal-summaries", "wal-summaries-checkpoint"]);
  const blind = await summaryFindings(standby.uri("postgres", { user: "plain" }));
  expect(blind["wal-summaries-timeline"]!.statements).toEqual(['GRANT pg_read_all_stats TO "plain";']);
});
