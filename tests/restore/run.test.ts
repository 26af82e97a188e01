// runRestore() where things go wrong or the target is older: adaptations, --create, cancellation, damaged data, tables
// that several connections load.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ArchiveContents, DataPiece, TocEntry } from "../../src/archive/index.ts";
import {
  planRestore,
  runRestore,
  type RestoreEvent,
  type RestoreOptions,
  type RestoreResult,
} from "../../src/restore/index.ts";
import { type TestDatabase } from "../support/servers.ts";
import {
  connector,
  dumpArchive,
  openArchive,
  restoreByUs,
  server,
  temporaryFolder,
  type OpenArchive,
  type TestServer,
} from "./support.ts";

const disposables = new AsyncDisposableStack();
let pg: TestServer;
let folder: string;
let archive: OpenArchive;

const BIG_TABLE = `
CREATE TABLE big (id int PRIMARY KEY, up int REFERENCES big, word text);
INSERT INTO big SELECT n, nullif(n - 1, 0), repeat(md5(n::text), 8) FROM generate_series(1, 60000) AS n;
CREATE TABLE small (id int PRIMARY KEY);
INSERT INTO small SELECT generate_series(1, 10);`;

beforeAll(async () => {
  pg = await server(18);
  folder = disposables.use(await temporaryFolder()).path;
  await using source = await pg.createDatabase();
  await source.psql(BIG_TABLE);
  archive = disposables.use(await openArchive(await dumpArchive(source, join(folder, "big.dump"))));
});

afterAll(() => disposables.disposeAsync());

interface Run {
  readonly options?: RestoreOptions;
  readonly contents?: ArchiveContents;
  readonly onEvent?: (event: RestoreEvent) => void;
  readonly signal?: AbortSignal;
  /** Bytes of data by table. */
  readonly sizes?: Readonly<Record<string, number>>;
}

async function run(
  database: TestDatabase,
  { options = {}, contents = archive.contents, sizes = { big: 16_000_000, small: 21 }, ...rest }: Run,
): Promise<RestoreResult> {
  const data = contents.toc.entries.filter((entry) => entry.description === "TABLE DATA");
  const sizesById = new Map(data.map((entry) => [entry.dumpId, sizes[entry.tag] ?? 0]));
  const plan = planRestore(contents.toc, options, { version: 180000, sizes: sizesById });
  return await runRestore(contents, plan, { connect: await connector(pg, database.name), ...rest });
}

/** Contents whose pieces of one table are changed. */
function withPieces(tag: string, change: (piece: DataPiece, index: number) => DataPiece): ArchiveContents {
  const { contents } = archive;
  async function* tableData(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<DataPiece> {
    let index = 0;
    for await (const piece of contents.tableData(entry, signal))
      yield entry.tag === tag ? change(piece, index++) : piece;
  }
  const { toc, isSeekable } = contents;
  return { toc, isSeekable, tableData, largeObjects: (entry, signal) => contents.largeObjects(entry, signal) };
}

const damaged = (): ArchiveContents =>
  withPieces("big", (piece, index) =>
    index < 3 ? piece : { ...piece, load: () => Promise.reject(new Error("this piece is damaged")) },
  );

describe("runRestore()", () => {
  test("loads one table over two connections, which commit together", async () => {
    await using database = await pg.createDatabase();
    const joined = Promise.withResolvers<void>();
    // The first piece comes only when the other connection takes part.
    const contents = withPieces("big", (piece, index) =>
      index > 0 ? piece : { ...piece, load: async () => joined.promise.then(() => piece.load()) },
    );
    const onEvent = (event: RestoreEvent): void => {
      if (event.kind === "worker joined") joined.resolve();
    };
    const result = await run(database, { options: { jobs: 2 }, contents, onEvent });
    expect(result).toMatchObject({ isComplete: true, entriesFailed: [], entriesSkipped: [] });
    expect(result.rowsByTable.find((rows) => rows.table === "big")).toMatchObject({ rows: 60000, connectionCount: 2 });
    expect(await database.psql("SELECT count(*), sum(id), sum(up) FROM big")).toBe("60000|1800030000|1799970000");
  });

  test.each([
    [{ jobs: 1 }, {}, "t"],
    [{ jobs: 2 }, { big: 60, small: 40 }, "t"],
    [{ jobs: 1, singleTransaction: true }, {}, "f"],
  ])("with %o and sizes %o, rows of a table of its own are frozen: %s", async (options, sizes, expected) => {
    await using database = await pg.createDatabase();
    const result = await run(database, { options, sizes });
    expect(result).toMatchObject({ isComplete: true, entriesFailed: [] });
    await database.psql("CREATE EXTENSION pg_visibility");
    const isFrozen = (table: string): Promise<string> =>
      database.psql(`SELECT count(*) FILTER (WHERE all_frozen) > 0.99 * count(*) FROM pg_visibility_map('${table}')`);
    expect([await isFrozen("big"), await isFrozen("small")]).toEqual([expected, expected]);
    expect(await database.psql("SELECT count(*), sum(id), sum(up) FROM big")).toBe("60000|1800030000|1799970000");
  });

  test("joins the table that would end last before it starts a smaller one", async () => {
    await using database = await pg.createDatabase();
    const steps: string[] = [];
    const joined = Promise.withResolvers<void>();
    // The big table cannot end before it was joined; a connection that starts the small one first is found out.
    const contents = withPieces("big", (piece, index) =>
      index > 0 ? piece : { ...piece, load: async () => joined.promise.then(() => piece.load()) },
    );
    const onEvent = (event: RestoreEvent): void => {
      if (event.kind === "worker joined") joined.resolve();
      if (event.kind === "worker joined" || (event.kind === "entry started" && event.entry.section === "data"))
        steps.push(`${event.kind} ${event.entry.tag}`);
    };
    const result = await run(database, { options: { jobs: 2 }, contents, onEvent });
    expect(result.isComplete).toBe(true);
    expect(steps).toEqual(["entry started big", "worker joined big", "entry started small"]);
  });

  test.each([1, 2])("with %i jobs, leaves a table empty whose data is damaged, and goes on", async (jobs) => {
    await using database = await pg.createDatabase();
    const contents = withPieces("big", (piece, index) =>
      index < 3 ? piece : { ...piece, load: async () => Buffer.from("no row of this table\n") },
    );
    const result = await run(database, { options: { jobs }, contents });
    expect(result.isComplete).toBe(false);
    expect(result.entriesFailed.map((failure) => `${failure.description} ${failure.tag}`)).toEqual(["TABLE DATA big"]);
    expect(await database.psql("SELECT (SELECT count(*) FROM big), (SELECT count(*) FROM small)")).toBe("0|10");
  });

  test("rolls back and reports when a table gets fewer rows than the source says", async () => {
    await using database = await pg.createDatabase();
    const contents = withPieces("big", (piece) => ({ ...piece, rowCount: 1 }));
    const result = await run(database, { options: { jobs: 2 }, contents });
    expect(result.entriesFailed[0]?.errors[0]?.message).toMatch(/table has 60000 rows after loading, not \d/);
    expect(await database.psql("SELECT count(*) FROM big")).toBe("0");
  });

  test("throws when the source fails with something that is no operating error", async () => {
    await using database = await pg.createDatabase();
    await expect(run(database, { options: { jobs: 2 }, contents: damaged() })).rejects.toThrow("this piece is damaged");
    expect(await database.psql("SELECT count(*) FROM big")).toBe("0");
  });

  test.each([1, 2])("with %i jobs, ends with the signal's reason and no rows of the table under way", async (jobs) => {
    await using database = await pg.createDatabase();
    const controller = new AbortController();
    let sizeBytes = 0;
    const onEvent = (event: RestoreEvent): void => {
      if (event.kind === "data" && (sizeBytes += event.sizeBytes) > 4_000_000) controller.abort(new Error("enough"));
    };
    const promise = run(database, { options: { jobs }, signal: controller.signal, onEvent });
    await expect(promise).rejects.toThrow("enough");
    expect(await database.psql("SELECT count(*) FROM big")).toBe("0");
    const sessions = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database.name}' AND pid <> pg_backend_pid()`;
    await expect.poll(() => database.psql(sessions)).toBe("0");
  });

  test("stops all connections at the first error with exitOnError, no table half loaded", async () => {
    await using database = await pg.createDatabase();
    const contents = withPieces("small", (piece) => ({ ...piece, load: async () => Buffer.from("no number\n") }));
    const result = await run(database, { options: { jobs: 2, exitOnError: true }, contents });
    expect(result).toMatchObject({ isComplete: false, stoppedEarly: true });
    expect(result.entriesFailed.map((failure) => failure.tag)).toEqual(["small"]);
    expect(result.entriesSkipped.length).toBeGreaterThan(0);
    expect(["0", "60000"]).toContain(await database.psql("SELECT count(*) FROM big"));
  });

  test("stops at the first error of a single transaction and leaves nothing", async () => {
    await using database = await pg.createDatabase();
    await database.psql("CREATE TABLE small (other text)");
    const result = await run(database, { options: { singleTransaction: true } });
    expect(result).toMatchObject({ isComplete: false, stoppedEarly: true, entriesDone: 0, rowsByTable: [] });
    expect(await database.psql("SELECT to_regclass('big') IS NULL")).toBe("t");
  });

  test("creates the database with --create, and names it before dropping it with --clean", async () => {
    await using source = await pg.createDatabase();
    await source.psql(
      "CREATE TABLE t AS SELECT 1 AS a; ALTER DATABASE CURRENT SET work_mem = '5MB'".replace(
        "CURRENT",
        `"${source.name}"`,
      ),
    );
    await using own = await openArchive(await dumpArchive(source, join(folder, "create.dump")));
    const drops: string[] = [];
    for (const jobs of [1, 2]) {
      await source.psql("INSERT INTO t VALUES (2)");
      const { result } = await restoreByUs(pg, "postgres", own, {
        create: true,
        clean: true,
        jobs,
        onEvent: (event) => event.kind === "drop" && drops.push(event.statements.join("").trim()),
      });
      expect(result.entriesFailed).toEqual([]);
      expect(await source.psql("SELECT count(*), current_setting('work_mem') FROM t")).toBe("1|5MB");
    }
    expect(drops).toEqual([`DROP DATABASE ${source.name};`, `DROP DATABASE ${source.name};`]);
  });
});
