// A repository in S3 from init to restore, with the command as a user starts it, on a real S3 server and real PostgreSQL.

import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { expectEqual, FaultBench, until } from "../faults/support.ts";
import { clientTools, runTool, server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { collect, namesIn } from "./contract.ts";
import { s3Servers, surroundingsOf, uriAt } from "./s3-servers.ts";
import type { S3Server } from "./s3-servers.ts";
import { ORDERS_AND_FILES } from "./orders-and-files.ts";

/** Time for the server to end what it was sent. */
const ANSWER_MS = 200;

describe.each(s3Servers())("a repository in S3 on $name", ({ checksRights, start }) => {
  let s3: S3Server;
  let pg: TestServer;
  let database: TestDatabase;
  beforeAll(async () => {
    [s3, pg] = await Promise.all([start(), server(18)]);
    database = await pg.createDatabase();
    await database.psql(`${ORDERS_AND_FILES} SELECT lo_from_bytea(0, decode(repeat('cafe', 50000), 'hex'))`);
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  interface Place {
    readonly bench: FaultBench;
    readonly environment: Readonly<Record<string, string>>;
    readonly uri: string;
  }

  async function newPlace(): Promise<Place> {
    const bench = await FaultBench.create({ repository: "none" });
    const uri = uriAt(s3.endpoint, `repositories/${randomBytes(6).toString("hex")}`);
    return { bench, uri, environment: { ...s3.keys, CAIRN_REPOSITORY: uri, AWS_EC2_METADATA_DISABLED: "true" } };
  }

  test("init, backup, list, verify, restore, export", async () => {
    const { bench, environment } = await newPlace();
    await using _ = bench;
    const options = { environment };
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], options);
    const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
    const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
    expect(second.newBytes).toBeLessThan(first.newBytes / 100);
    const { restorePoints } = (await bench.succeeds(["list", "--json"], options)).json();
    expect(restorePoints).toHaveLength(2);
    expect((await bench.succeeds(["verify", "latest"], options)).output).toContain("is intact");

    await using copy = await pg.createDatabase();
    await bench.succeeds(["restore", "latest", "--to", copy.uri, "--jobs", "4"], options);
    await expectEqual({ server: pg, name: database.name }, { server: pg, name: copy.name });

    const scratch = `scratch_${randomBytes(4).toString("hex")}`;
    await bench.succeeds(["restore", "latest", "--to", database.uri, "-t", "orders", `--scratch=${scratch}`], options);
    expect(await pg.psql(scratch, "SELECT count(*), max(id) FROM orders")).toBe("20000|20000");
    await pg.dropDatabase(scratch);

    await bench.succeeds(["export", "latest", "--file", bench.file("archive")], options);
    const { pgRestore } = await clientTools(18);
    expect(await runTool(pgRestore, ["--list", bench.file("archive")])).toContain("TABLE DATA public files");
  });

  test("the errors that people meet: their exit status, and a cure", async () => {
    const { bench, environment, uri } = await newPlace();
    await using _ = bench;
    const run = async (words: readonly string[], more: Readonly<Record<string, string>> = {}) =>
      await bench.run(words, { environment: { ...environment, ...more } });
    expect(await run(["list"])).toMatchObject({
      status: 10,
      errors: expect.stringContaining("there is no repository in s3://") as string,
    });
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
    expect(await run(["list"], { CAIRN_PASSPHRASE: "not the right one" })).toMatchObject({ status: 12 });
    const elsewhere = uri.replace("s3://cairn-tests", "s3://no-such-bucket");
    expect(await run(["list", "--repo", elsewhere])).toMatchObject({
      status: 1,
      errors: expect.stringMatching(/there is no bucket "no-such-bucket" at http[^]*HINT/) as string,
    });
  });

  test("a backup that is killed leaves no restore point; its unfinished upload is named; the next one is whole", async () => {
    const { bench, environment, uri } = await newPlace();
    await using _ = bench;
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
    await using storage = await openStorage(uri, surroundingsOf(s3.keys));
    // Slow enough to be killed in the middle, on a busy machine too.
    const words = ["backup", database.uri, "--limit-upload", "4M"];
    const killed = bench.start(words, { environment });
    await until("an upload is begun", async () => (await collect(storage.leftovers())).length > 0);
    await until("a part is under way", async () => {
      killed.child.kill("SIGSTOP"); // or the upload might be complete by the time that it is killed
      await delay(ANSWER_MS);
      const isUnderWay = (await collect(storage.leftovers())).some(({ sizeBytes }) => sizeBytes > 0);
      if (!isUnderWay) killed.child.kill("SIGCONT");
      return isUnderWay;
    });
    killed.child.kill("SIGKILL");
    await killed.ended;
    expect(await namesIn(storage, "backups/")).toEqual([]);
    expect(await collect(storage.leftovers())).not.toEqual([]);

    const stopped = bench.start(["backup", database.uri, "--lineage", "other", "--limit-upload", "10M"], {
      environment,
    });
    const before = (await collect(storage.leftovers())).length;
    await until("another part is under way", async () => (await collect(storage.leftovers())).length > before);
    stopped.child.kill("SIGINT");
    expect((await stopped.ended).status).toBe(130);
    expect(await collect(storage.leftovers())).toHaveLength(before);

    await bench.succeeds(["backup", database.uri], { environment });
    const { output } = await bench.succeeds(["list"], { environment });
    expect(output).toContain("uploadId=");
    await bench.succeeds(["verify", "latest"], { environment });
  });

  // moto looks at no keys; Ceph does, in `npm run test:storages`.
  if (!checksRights) return;
  test("rights to read are enough to list, show, verify and restore, and not to back up", async () => {
    const { bench, environment } = await newPlace();
    await using _ = bench;
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
    await bench.succeeds(["backup", database.uri], { environment });
    const options = { environment: { ...environment, ...s3.readerKeys } };
    await bench.succeeds(["list"], options);
    await bench.succeeds(["show", "latest"], options);
    const verified = await bench.succeeds(["verify", "latest"], options);
    expect(verified.errors).toContain("the result could not be noted");
    await using copy = await pg.createDatabase();
    await bench.succeeds(["restore", "latest", "--to", copy.uri], options);
    await expectEqual({ server: pg, name: database.name }, { server: pg, name: copy.name });
    expect(await bench.run(["backup", database.uri], options)).toMatchObject({
      status: 1,
      errors: expect.stringMatching(/AccessDenied[^]*cairn storage test/) as string,
    });
  });
});
