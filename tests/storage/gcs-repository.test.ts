// A repository in Google Cloud Storage from init to prune, with the command as a user starts it, on our own server that
// follows Google's documentation, and real PostgreSQL.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { FaultBench, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { collect, namesIn } from "./contract.ts";
import { gcsSurroundings, gcsUriAt, openGcsBench } from "./gcs-support.ts";
import type { GcsBench } from "./gcs-support.ts";
import { ORDERS_AND_FILES } from "./orders-and-files.ts";

const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

let gcs: GcsBench;
let pg: TestServer;
let database: TestDatabase;
beforeAll(async () => {
  [gcs, pg] = await Promise.all([openGcsBench(), server(18)]);
  database = await pg.createDatabase();
  await database.psql(ORDERS_AND_FILES);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await gcs[Symbol.asyncDispose]();
});

interface Place {
  readonly bench: FaultBench;
  readonly environment: Readonly<Record<string, string>>;
  readonly uri: string;
}

async function newPlace(): Promise<Place> {
  const bench = await FaultBench.create({ repository: "none" });
  const uri = gcsUriAt(gcs.server.endpoint, `repositories/${randomBytes(6).toString("hex")}`);
  return { bench, uri, environment: { ...(await gcs.keys("writer")), CAIRN_REPOSITORY: uri } };
}

test("init, backup, list, restore, expire, prune, check; rights to read are enough to restore", async () => {
  const { bench, environment, uri } = await newPlace();
  await using _ = bench;
  const options = { environment };
  await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], options);
  const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  expect(second.newBytes).toBeLessThan(first.newBytes / 100);

  const reader = { environment: { ...environment, ...(await gcs.keys("reader")) } };
  const { restorePoints } = (await bench.succeeds(["list", "--json"], reader)).json();
  expect(restorePoints).toHaveLength(2);
  const verified = await bench.succeeds(["verify", "latest"], reader);
  expect(verified.output).toContain("is intact");
  expect(verified.errors).toContain("the result could not be noted");
  const scratch = `scratch_${randomBytes(4).toString("hex")}`;
  await bench.succeeds(["restore", "latest", "--to", database.uri, "-t", "files", `--scratch=${scratch}`], reader);
  const sum = "SELECT count(*), sum(hashtext(content)) FROM files";
  expect(await pg.psql(scratch, sum)).toBe(await pg.psql(database.name, sum));
  await pg.dropDatabase(scratch);
  expect(await bench.run(["backup", database.uri], reader)).toMatchObject({
    status: 1,
    errors: expect.stringMatching(/storage\.objects\.create[^]*cairn storage test/) as string,
  });

  await using storage = await openStorage(uri, gcsSurroundings(environment));
  expect(await namesIn(storage, "backups/")).toHaveLength(2);
  await bench.succeeds(["expire", "--keep-last", "1"], options);
  expect(await namesIn(storage, "backups/")).toHaveLength(1);
  await bench.succeeds(["prune"], options);
  await bench.succeeds(["check"], options);
});

test.runIf(isFull)(
  "a backup that is killed leaves no restore point and nothing that shows; the next one is whole",
  async () => {
    const { bench, environment, uri } = await newPlace();
    await using _ = bench;
    const { bucket } = gcs.server;
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
    await using storage = await openStorage(uri, gcsSurroundings(environment));
    const before = bucket.openUploads();
    const words = ["backup", database.uri, "--limit-upload", "10M"];
    const killed = bench.start(words, { environment });
    await until("a piece is under way", () => bucket.openUploads() > before);
    killed.child.kill("SIGKILL");
    await killed.ended;
    expect(await namesIn(storage, "backups/")).toEqual([]);
    expect(await collect(storage.leftovers())).toEqual([]);

    const left = bucket.openUploads();
    const stopped = bench.start([...words, "--lineage", "other"], { environment });
    await until("another piece is under way", () => bucket.openUploads() > left);
    stopped.child.kill("SIGINT");
    expect((await stopped.ended).status).toBe(130);
    expect(bucket.openUploads()).toBe(left);

    await bench.succeeds(["backup", database.uri], { environment });
    await bench.succeeds(["verify", "latest"], { environment });
  },
);

test("the errors that people meet: their exit status, and a cure, and never a secret", async () => {
  const { bench, environment, uri } = await newPlace();
  await using _ = bench;
  const revoked = gcs.server.accounts.file("login", "writer", gcs.server.endpoint);
  const login = await gcs.file({ ...revoked, refresh_token: "refresh-nobody" });
  for (const [words, more, status, errors] of [
    [["list"], {}, 10, /there is no repository in gs:/],
    [["list", "--repo", uri.replace("cairn-tests", "no-such")], {}, 1, /there is no bucket "no-such" at http[^]*HINT/],
    [["list"], { GOOGLE_APPLICATION_CREDENTIALS: login }, 1, /were refused: invalid_grant[^]*HINT/],
    [["list"], { GOOGLE_APPLICATION_CREDENTIALS: "", NO_GCE_CHECK: "true" }, 1, /no credentials were found[^]*HINT/],
    [["list", "--repo", `${uri}&token=ya29.x`], {}, 2, /"token" in the URI of gs:\/\/cairn-tests is not known/],
  ] as const) {
    const outcome = await bench.run(words, { environment: { ...environment, ...more } });
    expect(outcome).toMatchObject({ status, errors: expect.stringMatching(errors) as string });
    expect(outcome.errors).not.toMatch(/ya29|refresh-|login-secret|PRIVATE KEY|upload_id/);
  }
});
