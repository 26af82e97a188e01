// What the user gets wrong about servers, for backup and restore: host, port, password, database; and servers, disks and
// people that break off a run: killed server, full disk, SIGINT, SIGTERM. Nothing half done may be left to be believed.

import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { execFileSync } from "node:child_process";
import { cp, mkdir, stat } from "node:fs/promises";
import { constants } from "node:os";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ownServer, server } from "../support/servers.ts";
import type { OwnServer, TestDatabase, TestServer } from "../support/servers.ts";
import { expectEqual, FaultBench, sessionsIn, until } from "./support.ts";

const wrongPassword = "wrong-password-canary";
// Compresses badly, so that it takes a while and more than a small disk.
const fill = `
CREATE TABLE big (id int PRIMARY KEY, text text);
INSERT INTO big SELECT i, md5(i::text) || md5((-i)::text) || md5((i * 3)::text) FROM generate_series(1, 400000) AS i;
CREATE TABLE little (id int PRIMARY KEY REFERENCES big);
INSERT INTO little SELECT i FROM generate_series(1, 100) AS i;
VACUUM ANALYZE;`;

let pg: TestServer;
let source: TestDatabase;
let bench: FaultBench;
let id = "";

beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql(fill);
  bench = await FaultBench.create();
  id = (await bench.backup(source.uri, ["--lineage", "main"])).id;
});

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]();
  await source?.[Symbol.asyncDispose]();
});

async function expectUnchanged(): Promise<void> {
  const list = await bench.list();
  expect(list.restorePoints.map((point) => point.id)).toEqual([id]);
  expect((await bench.files()).filter((name) => name.startsWith("runs/") || name.includes(".cairn-tmp-"))).toEqual([]);
}

describe("a server that cannot be reached or entered", () => {
  let guarded: OwnServer;

  beforeAll(async () => {
    guarded = await ownServer(18, {
      hostBasedAuthentication: "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    });
    await guarded.psql("postgres", "SELECT 1").catch(() => undefined);
  });
  afterAll(async () => guarded?.[Symbol.asyncDispose]());

  test("is named with its host and port, exit status 1, code connection_failed, for backup and restore", async () => {
    const port = await freePort();
    const cases: readonly (readonly [uri: string, says: RegExp])[] = [
      ["postgresql://postgres@no-such-host.invalid/x", /no-such-host\.invalid/],
      [`postgresql://postgres@127.0.0.1:${port}/x`, new RegExp(`127\\.0\\.0\\.1.*${port}`)],
      [pg.uri("no such database"), /"no such database" does not exist/],
      [`postgresql://postgres:${wrongPassword}@127.0.0.1:${guarded.port}/postgres`, /password authentication failed/],
      [`postgresql://postgres@127.0.0.1:${guarded.port}/postgres`, /password/],
      [pg.uri("postgres", { user: "nobody here" }), /role "nobody here" does not exist/],
    ];
    for (const [uri, says] of cases) {
      for (const words of [
        ["backup", uri],
        ["restore", "latest", "--to", uri],
      ]) {
        const plain = await bench.run(words);
        const what = `${words.join(" ")}\n${plain.errors}`;
        expect(plain, what).toMatchObject({ status: 1, output: "" });
        expect(plain.errors, what).toMatch(says);
        expect(plain.errors, what).toMatch(/^cairn: error: .*[^.]\n(DETAIL: .*\n)?(HINT: {2}.*\n?)+$/m);
        expect(plain.errors, what).not.toContain(wrongPassword);
      }
      const json = await bench.run(["backup", uri, "--json"]);
      expect([uri, json.status, json.json().error.code]).toEqual([uri, 1, "connection_failed"]);
      expect(json.output + json.errors).not.toContain(wrongPassword);
    }
    await expectUnchanged();
  });
});

describe("a server that is killed", () => {
  test("during backup: exit status 1, the loss is said, no restore point, nothing left", async () => {
    await using own = await ownServer(18);
    await using database = await own.createDatabase();
    await database.psql(fill);
    const running = bench.start(["backup", database.uri, "--lineage", "dying"]);
    await running.says(" tables with ");
    await own.stop("immediate");
    const outcome = await running.ended;
    expect([outcome.status, outcome.output]).toEqual([1, ""]);
    expect(outcome.errors).toMatch(/cairn: error: .*(connection|lost|terminat|shutting down)/i);
    await expectUnchanged();
    await own.start();
  });

  test("during restore: exit status 1, and what is there is not called whole", async () => {
    await using own = await ownServer(18);
    await own.psql("postgres", "CREATE DATABASE target");
    const running = bench.start(["restore", id, "--to", own.uri("target")]);
    await until("rows arrive", async () => (await copying(own, "target")) > 0);
    await own.stop("immediate");
    const outcome = await running.ended;
    expect([outcome.status, outcome.output]).toEqual([1, ""]);
    expect(outcome.errors).toMatch(/cairn: error: .*(connection|lost|terminat|shutting down)/i);
    await own.start();
    const rows = await own.psql("target", "SELECT count(*) FROM big").catch(() => "0");
    expect(["0", "400000"]).toContain(rows);
  });
});

/** Sessions that load rows into that database now; others use the server too. */
async function copying(on: TestServer, database: string): Promise<number> {
  const isUnderWay = `datname = '${database}' AND tuples_processed > 0`;
  return Number(await on.psql("postgres", `SELECT count(*) FROM pg_stat_progress_copy WHERE ${isUnderWay}`));
}

describe.each(["SIGINT", "SIGTERM"] as const)("%s", (signalName) => {
  const status = 128 + constants.signals[signalName];

  test("during backup: its exit status, nothing half done, no session left, the next backup succeeds", async () => {
    for (const moment of ["reading the catalog", " tables with "]) {
      const running = bench.start(["backup", source.uri, "--lineage", "main"]);
      await running.says(moment);
      running.child.kill(signalName);
      const outcome = await running.ended;
      expect([moment, outcome.status, outcome.output]).toEqual([moment, status, ""]);
      expect(outcome.errors).toMatch(/cairn: error: interrupted/);
      await until("no session is left", async () => (await sessionsIn(pg, source.name)) === 0);
      await expectUnchanged();
      expect((await bench.files()).filter((name) => name.startsWith("packs/"))).toHaveLength(1);
    }
    await using after = await FaultBench.create({ repository: "none" });
    await cp(bench.repository, after.repository, { recursive: true });
    await after.verify((await after.backup(source.uri, ["--lineage", "main"])).id);
  });

  test("during restore: its exit status, no session left, no table half full", async () => {
    await using target = await pg.createDatabase();
    const running = bench.start(["restore", id, "--to", target.uri, "--jobs", "2"]);
    await until("rows arrive", async () => (await copying(pg, target.name)) > 0);
    running.child.kill(signalName);
    const outcome = await running.ended;
    expect([outcome.status, outcome.output]).toEqual([status, ""]);
    await until("no session is left", async () => (await sessionsIn(pg, target.name)) === 0);
    expect(await target.psql("SELECT count(*) FROM big")).toBe("0");
  });

  test("during restore into a scratch database: dropped, or left under its provisional name and named", async () => {
    const name = `scratch_${signalName.toLowerCase()}`;
    const running = bench.start(["restore", id, "--to", pg.uri("postgres"), "-t", "big", `--scratch=${name}`]);
    await until("rows arrive", async () => (await copying(pg, `${name}_incomplete`)) > 0);
    running.child.kill(signalName);
    const outcome = await running.ended;
    expect(outcome.status).toBe(status);
    const query = `SELECT datname FROM pg_database WHERE datname LIKE '${name}%'`;
    const left = await pg.psql("postgres", query);
    await pg.dropDatabase(`${name}_incomplete`);
    expect(["", `${name}_incomplete`]).toContain(left);
    if (left !== "") expect(outcome.errors).toContain(left);
    expect(left).toBe("");
  });
});

/** Before a script of the shell: what it mounts is seen by nobody else, and goes with it. */
const privateMounts = ["unshare", "--mount", "--propagation", "private", "sh", "-c"];
const canMount = isMountable();
if (!canMount) process.stdout.write("no mount namespace to be had: the test of a full disk is not run\n");

describe.skipIf(!canMount)("a full disk", () => {
  /** Runs the command with a small file system in place of the repository's packs. */
  function onSmallDisk(folder: string, sizeMiB: number): readonly string[] {
    return [...privateMounts, `mount -t tmpfs -o size=${sizeMiB}m none "$0" && exec "$@"`, folder];
  }

  test("while packs are written: exit status 1, no restore point, earlier ones whole, the next backup succeeds", async () => {
    await using small = await FaultBench.create({ repository: "none" });
    await cp(bench.repository, small.repository, { recursive: true });
    const words = ["backup", source.uri, "--lineage", "no room", "--json"];
    const wrapper = onSmallDisk(`${small.repository}/packs`, 8);
    const outcome = await small.run(words, { wrapper });
    expect([outcome.status, outcome.json().error.code]).toEqual([1, "no_space"]);
    expect(outcome.json().error.message).toMatch(/^could not write "packs\/.*: .*no space/i);
    expect(outcome.json().error.hint).not.toBeNull();
    expect((await small.list()).restorePoints.map((point) => point.id)).toEqual([id]);
    expect(await small.verify(id)).toMatchObject({ isIntact: true });
    const next = await small.backup(source.uri, ["--lineage", "no room"]);
    expect(await small.verify(next.id)).toMatchObject({ isIntact: true });
  });

  test("while the manifest is written: no restore point, and its packs are left to prune", async () => {
    await using small = await FaultBench.create({ repository: "none" });
    await cp(bench.repository, small.repository, { recursive: true });
    await mkdir(`${small.repository}/backups`, { recursive: true });
    // Not one page is free for a file.
    const script = 'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero >"$0/full" && exec "$@"';
    const wrapper = [...privateMounts, script, `${small.repository}/backups`];
    const packs = async (): Promise<number> => (await small.files()).filter((name) => name.startsWith("packs/")).length;
    const before = await packs();
    const outcome = await small.run(["backup", source.uri, "--json"], { wrapper });
    expect([outcome.status, outcome.json().error.code]).toEqual([1, "no_space"]);
    expect((await small.list()).restorePoints.map((point) => point.id)).toEqual([id]);
    // A storage that said no may yet have written it, and somebody may have met it: its packs go by way of a list.
    const { decisions } = (await small.succeeds(["prune", "--json"])).json();
    const listed = decisions.filter((decision: { action: string }) => decision.action === "listed");
    expect(listed.length).toBe((await packs()) - before);
    expect(listed.length).toBeGreaterThan(0);
  });

  test("while export writes: exit status 1 and no file", async () => {
    await mkdir(bench.file("small"));
    const file = bench.file("small/x.dump");
    const wrapper = onSmallDisk(bench.file("small"), 4);
    const outcome = await bench.run(["export", id, "--file", file, "--json"], { wrapper });
    expect([outcome.status, outcome.json().error.code]).toEqual([1, "no_space"]);
    await expect(stat(file)).rejects.toThrow("ENOENT");
  });
});

test("the restore point that outlived all of this restores", async () => {
  await using target = await pg.createDatabase();
  await bench.succeeds(["restore", id, "--to", target.uri, "--jobs", "2"]);
  await expectEqual(source, { server: pg, name: target.name });
});

function isMountable(): boolean {
  try {
    const [program, ...words] = [...privateMounts, "mount -t tmpfs -o size=1m none /mnt"];
    execFileSync(program, words, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
