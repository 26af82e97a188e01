// A repository on another host from init to prune, with the command as a user starts it, on real OpenSSH and PostgreSQL.

import { randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { FaultBench, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { collect, namesIn } from "./contract.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";
import { ORDERS_AND_FILES } from "./orders-and-files.ts";

let sftp: SftpServer;
let pg: TestServer;
let database: TestDatabase;
beforeAll(async () => {
  [sftp, pg] = await Promise.all([SftpServer.start(), server(18)]);
  database = await pg.createDatabase();
  await database.psql(ORDERS_AND_FILES);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await sftp[Symbol.asyncDispose]();
});

interface Place {
  readonly bench: FaultBench;
  readonly uri: string;
  readonly options: { readonly environment: Readonly<Record<string, string | undefined>> };
}

async function newPlace(): Promise<Place> {
  const bench = await FaultBench.create({ repository: "none" });
  const uri = sftp.uriAt(`repositories/${randomBytes(6).toString("hex")}`);
  // Not encrypted: a passphrase costs each command a second, and is not the storage's matter.
  return { bench, uri, options: { environment: { CAIRN_REPOSITORY: uri, CAIRN_PASSPHRASE: undefined } } };
}

test("init, backup, list, restore of one table, expire, prune, check; rights to read are enough to read", async () => {
  const { bench, options, uri } = await newPlace();
  await using _ = bench;
  await bench.succeeds(["storage", "test", uri], options);
  await bench.succeeds(["init", "--no-encryption"], options);
  const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  await database.psql("UPDATE files SET content = reverse(content) WHERE id <= 100");
  const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  expect(second.newBytes).toBeLessThan(first.newBytes);
  const { restorePoints } = (await bench.succeeds(["list", "--json"], options)).json();
  expect(restorePoints).toHaveLength(2);

  const scratch = `scratch_${randomBytes(4).toString("hex")}`;
  await bench.succeeds(["restore", "latest", "--to", database.uri, "-t", "orders", `--scratch=${scratch}`], options);
  expect(await pg.psql(scratch, "SELECT count(*), max(id) FROM orders")).toBe("20000|20000");
  await pg.dropDatabase(scratch);

  await bench.succeeds(["expire", "--keep-last", "1"], options);
  await bench.succeeds(["prune"], options);
  await bench.succeeds(["check", "--read-data", "100%"], options);
  await using storage = await openStorage(uri, nearSurroundings());
  expect(await namesIn(storage, "backups/")).toHaveLength(1);
  expect(await collect(storage.leftovers())).toEqual([]);

  const folder = decodeURIComponent(new URL(uri).pathname);
  execFileSync("chmod", ["-R", "a-w", folder]);
  await bench.succeeds(["show", "latest"], options);
  expect((await bench.succeeds(["verify", "latest"], options)).output).toContain("is intact");
  expect(await bench.run(["backup", database.uri], options)).toMatchObject({
    status: 1,
    errors: expect.stringMatching(/permission denied[^]*cairn storage test/) as string,
  });
  execFileSync("chmod", ["-R", "u+w", folder]);
});

test("a backup that is killed leaves no restore point; what it left is removed by the next one, which is whole", async () => {
  const { bench, options, uri } = await newPlace();
  await using _ = bench;
  await bench.succeeds(["init", "--no-encryption"], options);
  await using storage = await openStorage(uri, nearSurroundings());
  const killed = bench.start(["backup", database.uri, "--limit-upload", "5M"], options);
  await until("a pack is under way", async () =>
    (await collect(storage.leftovers())).some(({ sizeBytes }) => sizeBytes > 0),
  );
  killed.child.kill("SIGKILL");
  await killed.ended;
  expect(await namesIn(storage, "backups/")).toEqual([]);
  // It was a process of this machine: it is known to be dead.
  expect((await collect(storage.leftovers())).map(({ isDead }) => isDead)).toEqual([true]);
  await bench.succeeds(["backup", database.uri], options);
  expect(await collect(storage.leftovers())).toEqual([]);
  await bench.succeeds(["verify", "latest"], options);
});

test("the errors that people meet have their exit status and a cure", async () => {
  const { bench, options, uri } = await newPlace();
  await using _ = bench;
  expect(await bench.run(["list"], options)).toMatchObject({
    status: 10,
    errors: expect.stringContaining("there is no repository in sftp://") as string,
  });
  const unknown = await bench.run(["list", "--repo", uri.replace(/known_hosts/, "no_such_file")], options);
  expect(unknown).toMatchObject({
    status: 1,
    errors: expect.stringMatching(/is not known[^]*SHA256:[^]*HINT/) as string,
  });
  const withPassword = await bench.run(["list", "--repo", "sftp://me:hunter2@host/x"], options);
  expect(withPassword).toMatchObject({ status: 2, errors: expect.stringContaining("holds credentials") as string });
  expect(withPassword.errors).not.toContain("hunter2");
});
