// A repository in Azure from init to prune, with the command as a user starts it, on Azurite and real PostgreSQL.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { FaultBench, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { isFull, KEY, KEYS, signatureFor, startAzurite, surroundingsOf, uriAt } from "./azure-servers.ts";
import type { AzureServer } from "./azure-servers.ts";
import { collect, namesIn } from "./contract.ts";
import { ORDERS_AND_FILES } from "./orders-and-files.ts";

let azure: AzureServer;
let pg: TestServer;
let database: TestDatabase;
beforeAll(async () => {
  [azure, pg] = await Promise.all([startAzurite(), server(18)]);
  database = await pg.createDatabase();
  await database.psql(ORDERS_AND_FILES);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await azure[Symbol.asyncDispose]();
});

interface Place {
  readonly bench: FaultBench;
  readonly environment: Readonly<Record<string, string>>;
  readonly uri: string;
}

async function newPlace(): Promise<Place> {
  const bench = await FaultBench.create({ repository: "none" });
  const uri = uriAt(azure.endpoint, `repositories/${randomBytes(6).toString("hex")}`);
  return { bench, uri, environment: { ...KEYS, CAIRN_REPOSITORY: uri } };
}

test("init, backup, list, restore of one table, expire, prune, check; a signature to read is enough to restore", async () => {
  const { bench, environment } = await newPlace();
  await using _ = bench;
  const options = { environment };
  await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], options);
  const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  expect(second.newBytes).toBeLessThan(first.newBytes / 100);

  const { AZURE_STORAGE_KEY: _key, ...others } = environment as Record<string, string>;
  const reader = { environment: { ...others, AZURE_STORAGE_SAS_TOKEN: signatureFor("rl") } };
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
  const refused = await bench.run(["backup", database.uri], reader);
  expect(refused).toMatchObject({ status: 1, errors: expect.stringMatching(/cairn storage test/) as string });

  await bench.succeeds(["expire", "--keep-last", "1"], options);
  await bench.succeeds(["prune"], options);
  await bench.succeeds(["check"], options);
});

test.runIf(isFull)(
  "a backup that is killed leaves no restore point; its unfinished upload is named; the next one is whole",
  async () => {
    const { bench, environment, uri } = await newPlace();
    await using _ = bench;
    await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
    await using storage = await openStorage(uri, surroundingsOf(KEYS));
    const killed = bench.start(["backup", database.uri, "--limit-upload", "10M"], { environment });
    await until("a block is under way", async () =>
      (await collect(storage.leftovers())).some(({ sizeBytes }) => sizeBytes > 1),
    );
    killed.child.kill("SIGKILL");
    await killed.ended;
    expect(await namesIn(storage, "backups/")).toEqual([]);
    const left = await collect(storage.leftovers());
    expect(left).not.toEqual([]);

    await bench.succeeds(["backup", database.uri], { environment });
    const { output } = await bench.succeeds(["list"], { environment });
    expect(output).toContain(left[0]!.name);
    await bench.succeeds(["verify", "latest"], { environment });
    for (const { name } of left) await storage.deleteLeftover(name);
    expect(await collect(storage.leftovers())).toEqual([]);
  },
);

test("the errors that people meet: their exit status, and a cure, and never a secret", async () => {
  const { bench, environment, uri } = await newPlace();
  await using _ = bench;
  const wrongKey = Buffer.from("another key").toString("base64");
  for (const [words, more, status, errors] of [
    [["list"], {}, 10, /there is no repository in azure:/],
    [
      ["list", "--repo", uri.replace("cairn-tests", "no-such")],
      {},
      1,
      /there is no container "no-such" at http[^]*HINT/,
    ],
    [["list"], { AZURE_STORAGE_KEY: wrongKey }, 1, /credentials were refused[^]*HINT/],
    [["list", "--repo", uri.split("?")[0]!], { AZURE_STORAGE_ACCOUNT: "" }, 2, /names no account[^]*HINT/],
  ] as const) {
    const outcome = await bench.run(words, { environment: { ...environment, ...more, AZURE_LOG_LEVEL: "verbose" } });
    expect(outcome).toMatchObject({ status, errors: expect.stringMatching(errors) as string });
    // Not even what the library would tell of each request.
    expect(outcome.errors).not.toMatch(/SharedKey|sig=|azure:storage-blob/);
    for (const secret of [KEY, wrongKey]) expect(outcome.errors).not.toContain(secret);
  }
});
