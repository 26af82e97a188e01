// A repository on a WebDAV server from init to prune, with the command as a user starts it, on Apache and real PostgreSQL.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { expectEqual, FaultBench, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { collect, namesIn } from "./contract.ts";
import { environmentOf, READER, startApache, surroundingsOf, uriAt, USER } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";
import { forward, openSpoiler } from "./webdav-spoiler.ts";

// Random text does not compress: the first backup has packs that are sent while they are made.
const FILL = `
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
CREATE TABLE files (id int PRIMARY KEY REFERENCES orders, content text);
ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
INSERT INTO files SELECT n, (SELECT string_agg(encode(sha512((random()::text || n || m)::bytea), 'base64'), '') FROM generate_series(1, 150) m)
FROM generate_series(1, 1000) n;
`;

let apache: WebdavServer;
let pg: TestServer;
let database: TestDatabase;
beforeAll(async () => {
  [apache, pg] = await Promise.all([startApache(), server(18)]);
  database = await pg.createDatabase();
  await database.psql(FILL);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await apache[Symbol.asyncDispose]();
});

interface Place {
  readonly bench: FaultBench;
  readonly environment: Readonly<Record<string, string>>;
  readonly uri: string;
}

async function newPlace(host = apache.host): Promise<Place> {
  const bench = await FaultBench.create({ repository: "none" });
  const uri = uriAt(host, `repositories/${randomBytes(6).toString("hex")}`);
  return { bench, uri, environment: { ...environmentOf(USER), CAIRN_REPOSITORY: uri } };
}

test("init, backup, list, restore one table, expire, prune, check, verify; a reader may restore", async () => {
  const { bench, environment } = await newPlace();
  await using _ = bench;
  const options = { environment };
  await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], options);
  const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  expect(second.newBytes).toBeLessThan(first.newBytes / 100);
  expect((await bench.succeeds(["list", "--json"], options)).json().restorePoints).toHaveLength(2);

  const scratch = `scratch_${randomBytes(4).toString("hex")}`;
  await bench.succeeds(["restore", "latest", "--to", database.uri, "-t", "orders", `--scratch=${scratch}`], options);
  expect(await pg.psql(scratch, "SELECT count(*), max(id) FROM orders")).toBe("20000|20000");
  await pg.dropDatabase(scratch);

  await bench.succeeds(["expire", "--keep-last", "1"], options);
  await bench.succeeds(["prune"], options);
  expect((await bench.succeeds(["list", "--json"], options)).json().restorePoints).toHaveLength(1);
  await bench.succeeds(["check"], options);
  expect((await bench.succeeds(["verify", "latest"], options)).output).toContain("is intact");

  const asReader = { environment: { ...environment, ...environmentOf(READER) } };
  await using copy = await pg.createDatabase();
  await bench.succeeds(["show", "latest"], asReader);
  await bench.succeeds(["restore", "latest", "--to", copy.uri, "--jobs", "4"], asReader);
  await expectEqual({ server: pg, name: database.name }, { server: pg, name: copy.name });
  expect(await bench.run(["backup", database.uri], asReader)).toMatchObject({ status: 1 });
});

test("the errors that people meet: their exit status, and a cure", async () => {
  const { bench, environment, uri } = await newPlace();
  await using _ = bench;
  const run = async (words: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    await bench.run(words, { environment: { ...environment, ...more } });
  expect(await run(["list"])).toMatchObject({
    status: 10,
    errors: expect.stringContaining("there is no repository in webdav://") as string,
  });
  expect(await run(["list"], { CAIRN_WEBDAV_PASSWORD: "not-the-one" })).toMatchObject({
    status: 1,
    errors: expect.stringMatching(/does not take the user's name and password[^]*HINT/) as string,
  });
  const withPassword = uri.replace("webdav://", "webdav://kim:topsecret@");
  const refused = await run(["list", "--repo", withPassword]);
  expect(refused).toMatchObject({ status: 2, errors: expect.stringContaining("holds credentials") as string });
  expect(refused.errors).not.toContain("topsecret");
  expect(await run(["storage", "test", uri])).toMatchObject({ status: 0 });
  expect(await run(["storage", "test", uri, "--read-only"], environmentOf(READER))).toMatchObject({ status: 0 });
  expect(await run(["storage", "test", uri], environmentOf(READER))).toMatchObject({ status: 1 });
});

test("a backup that is killed leaves no restore point; what it left is named, and removed by the next one", async () => {
  const { bench, environment, uri } = await newPlace();
  await using _ = bench;
  await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
  await using storage = await openStorage(uri, surroundingsOf());
  const words = ["backup", database.uri, "--limit-upload", "10M"];
  const killed = bench.start(words, { environment });
  await until("an upload is under way", async () => (await collect(storage.leftovers())).length > 0);
  killed.child.kill("SIGKILL");
  await killed.ended;
  expect(await namesIn(storage, "backups/")).toEqual([]);
  expect(await collect(storage.leftovers())).toMatchObject([{ isDead: true }]);

  const stopped = bench.start([...words, "--lineage", "other"], { environment });
  await until("its left-over is gone, and another upload is under way", async () =>
    (await collect(storage.leftovers())).some(({ isDead }) => !isDead),
  );
  stopped.child.kill("SIGINT");
  expect((await stopped.ended).status).toBe(130);
  expect(await collect(storage.leftovers())).toEqual([]);

  await bench.succeeds(["backup", database.uri], { environment });
  await bench.succeeds(["verify", "latest"], { environment });
});

test("a server that replaces what is there is refused by init", async () => {
  await using careless = await openSpoiler(apache.host, (incoming, answer) => {
    if (incoming.method !== "MOVE") return false;
    forward(apache.host, incoming, answer, { headers: { overwrite: "T" } });
    return true;
  });
  const { bench, environment, uri } = await newPlace(careless.host);
  await using _ = bench;
  const run = await bench.run(["init", "--recovery-kit", bench.file("kit")], { environment });
  expect(run).toMatchObject({ status: 1, errors: expect.stringContaining("replaces an object") as string });
  expect(await bench.run(["storage", "test", uri], { environment })).toMatchObject({
    status: 1,
    output: expect.stringContaining("the second write won") as string,
  });
});
