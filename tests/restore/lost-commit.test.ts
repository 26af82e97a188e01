// Several connections load one table, and the first one is lost at its COMMIT: the table then has all its rows or none, as
// the server says that this transaction ended.

import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { planRestore, runRestore, type RestoreEvent } from "../../src/restore/index.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { CuttingWay, type Cut } from "./cutting-way.ts";
import { dumpArchive, openArchive, server, temporaryFolder, type OpenArchive, type TestServer } from "./support.ts";

const ROW_COUNT = 10_000;

let pg: TestServer;
let archive: OpenArchive;
const disposables = new AsyncDisposableStack();

beforeAll(async () => {
  pg = await server(18);
  const source = disposables.use(await pg.createDatabase());
  await source.psql(
    `CREATE TABLE big AS SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, ${ROW_COUNT}) AS i; CREATE INDEX ON big (i)`,
  );
  const folder = disposables.use(await temporaryFolder());
  archive = disposables.use(await openArchive(await dumpArchive(source, join(folder.path, "big.dump"), ["-Z0"])));
});
afterAll(() => disposables.disposeAsync());

test.each<[string, Omit<Cut, "text" | "count">, number]>([
  ["before the server gets it", { scope: "one" }, 0],
  ["before the server gets it, which does not notice", { scope: "one, unheard" }, 0],
  ["when the server has done it", { scope: "one", arrives: true }, ROW_COUNT],
])("runRestore() of a table whose first connection is lost at COMMIT %s", async (_when, cut, expected) => {
  await using target = await pg.createDatabase();
  await using way = await CuttingWay.open(pg.port, { ...cut, text: "COMMIT", count: 1 });
  const source = `host=127.0.0.1 port=${way.port} user=postgres dbname=${target.name}`;
  const settings = await resolveConnection({ source, environment: {}, homeDirectory: "/nonexistent", userName: "x" });
  const joined = Promise.withResolvers<void>();
  const contents = Object.create(archive.contents) as typeof archive.contents;
  contents.tableData = async function* (entry, signal): ReturnType<typeof contents.tableData> {
    for await (const piece of archive.contents.tableData(entry, signal)) {
      yield piece;
      await joined.promise; // the table has no end before a second connection takes part
    }
  };
  const data = archive.contents.toc.entries.find(({ description }) => description === "TABLE DATA");
  const sizes = new Map([[data?.dumpId ?? 0, 100 * 1024 * 1024]]);
  const plan = planRestore(archive.contents.toc, { jobs: 3 }, { version: 180_000, sizes });
  const running = runRestore(contents, plan, {
    connect: (_database, signal) => openSession(settings, { signal }),
    onEvent: (event: RestoreEvent) => void (event.kind === "worker joined" && joined.resolve()),
  });
  await expect(running).rejects.toMatchObject({ code: "connection_lost" });
  expect(await target.psql("SELECT count(*) FROM big")).toBe(String(expected));
});
