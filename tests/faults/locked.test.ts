// Two backups of one lineage at once: the second is refused as locked (11) while the first lives, and not when it died.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { FaultBench, until } from "./support.ts";
import type { Running } from "./support.ts";

let pg: TestServer;
let source: TestDatabase;
let bench: FaultBench;

beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000);");
  bench = await FaultBench.create();
});

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]();
  await source?.[Symbol.asyncDispose]();
});

async function recordsOf(repository: FaultBench): Promise<readonly string[]> {
  return (await repository.files()).filter((name) => /^runs\/.*\/\d+$/.test(name));
}

/** A backup that is stopped (SIGSTOP) at its reading: alive, with its run's record written. */
async function startStopped(lineage: string): Promise<Running> {
  const running = bench.start(["backup", source.uri, "--lineage", lineage]);
  await until("the run has its record", async () => (await recordsOf(bench)).length > 0);
  running.child.kill("SIGSTOP");
  return running;
}

test("backup of a lineage that another backup is at is exit status 11; another lineage is not; a dead one is not", async () => {
  const first = await startStopped("main");
  const second = await bench.run(["backup", source.uri, "--lineage", "main"]);
  expect(second).toMatchObject({ status: 11, output: "" });
  expect(second.errors).toMatch(/error: another backup of lineage "main" is at work\nDETAIL: {2}It is run .*\nHINT: /);
  const asJson = await bench.run(["backup", source.uri, "--lineage", "main", "--json"]);
  expect([asJson.status, asJson.json().error.code]).toEqual([11, "locked"]);
  expect((await bench.backup(source.uri, ["--lineage", "other"])).lineage).toBe("other");

  first.child.kill("SIGCONT");
  expect((await first.ended).status).toBe(0);
  expect((await bench.backup(source.uri, ["--lineage", "main"])).parentId).not.toBeNull();

  const dying = await startStopped("main");
  dying.child.kill("SIGKILL");
  await dying.ended;
  const after = await bench.backup(source.uri, ["--lineage", "main"]);
  expect((await bench.succeeds(["verify", after.id])).output).toContain("is intact");
  expect(await recordsOf(bench)).toEqual([]);
});

test("two backups begun in one moment: each is done or refused as locked, and one at least is done", async () => {
  const words = ["backup", source.uri, "--lineage", "race", "--json"];
  for (let turn = 0; turn < 2; turn += 1) {
    const outcomes = await Promise.all([bench.run(words), bench.run(words)]);
    const statuses = outcomes.map(({ status }) => status ?? -1).toSorted((one, other) => one - other);
    expect([
      [0, 0],
      [0, 11],
    ]).toContainEqual(statuses);
  }
  const list = await bench.list();
  const ids = list.restorePoints.filter(({ lineage }) => lineage === "race").map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(await bench.verify(id)).toMatchObject({ isIntact: true });
});

test("a record that cannot be read does not stop a backup", async () => {
  await using folder = await FaultBench.create();
  const first = folder.start(["backup", source.uri, "--lineage", "main"]);
  await until("the run has its record", async () => (await recordsOf(folder)).length > 0);
  first.child.kill("SIGKILL");
  await first.ended;
  const [record = ""] = await recordsOf(folder);
  await writeFile(join(folder.repository, record), "nonsense");
  await folder.backup(source.uri, ["--lineage", "main"]);
  expect((await folder.list()).leftovers.join("\n")).toContain(record.split("/")[1]);
});
