// What a drill must find: each defect planted between restore and comparison, by name, and nothing besides.

import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { Toc } from "../../src/archive/index.ts";
import { fitDatabase } from "../../src/operations/drill/place.ts";
import { openThrowaway } from "../../src/operations/drill/throwaway-place.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { clientTools, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { TestRepository, toolsPath } from "../matrix/support.ts";
import { drill, findingsOf } from "./support.ts";

/** Names and values that a page must not obey. */
const HOSTILE = `"<script>alert('x')</script>&"`;

const schema = `
  CREATE TABLE orders (id int PRIMARY KEY, word text CHECK (word IN ('one', 'two', 'three')), price numeric(10, 2));
  INSERT INTO orders SELECT i, (ARRAY['one', 'two', 'three'])[1 + i % 3], i * 1.5 FROM generate_series(1, 20000) AS i;
  CREATE TABLE items (id int PRIMARY KEY, "order" int REFERENCES orders, note varchar(40) CHECK (note IN ('a', 'b')));
  INSERT INTO items SELECT i, i, CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 500) AS i;
  CREATE INDEX items_order ON items ("order");
  CREATE TABLE ${HOSTILE} (a text);
  INSERT INTO ${HOSTILE} VALUES (E'tab\\tline\\n\\\\.'), (NULL), (repeat('long ', 200000));
  CREATE SEQUENCE tickets;
  SELECT setval('tickets', 41);
  GRANT SELECT ON orders TO drill_reader;
  CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
  CREATE TABLE painted (id int, c colour, note text) PARTITION BY HASH (c);
  CREATE TABLE painted_0 PARTITION OF painted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE painted_1 (note text, c colour, id int);
  ALTER TABLE painted ATTACH PARTITION painted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  INSERT INTO painted SELECT i, (ARRAY['red', 'green', 'blue'])[1 + i % 3]::colour, 'n' || i FROM generate_series(1, 99) AS i;
  SELECT lo_from_bytea(70001, 'the large object'), lo_from_bytea(70002, decode(repeat('ab', 3000000), 'hex'));`;

let pg: TestServer;
let source: TestDatabase;
let repository: TestRepository;
let folder = "";
let id = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-drill-"));
  pg = await server(18);
  repository = await TestRepository.create();
  const exists = "SELECT count(*) FROM pg_roles WHERE rolname = 'drill_reader'";
  if ((await pg.psql("postgres", exists)) === "0") await pg.psql("postgres", "CREATE ROLE drill_reader");
  source = await pg.createDatabase();
  await source.psql(schema);
  ({ id } = await repository.backup(source.uri, { lineage: "defects" }));
});
afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const onServer = (): string => pg.uri("postgres");
const databases = (): Promise<string> =>
  pg.psql("postgres", "SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'cairn_drill%'");

test("drill in a throwaway server finds every planted defect by name, and marks the restore point", async () => {
  const report = await drill(repository, id, {
    evidence: folder,
    assertions: ["SELECT count(*) = 20000 FROM orders", "SELECT count(*) > 600 FROM items"],
    plant: `
      DELETE FROM items WHERE id = 77;
      UPDATE orders SET price = price + 0.01 WHERE id = 12345;
      SELECT setval('tickets', 40);
      DROP INDEX items_order;
      REVOKE SELECT ON orders FROM drill_reader;
      SELECT lo_put(70002, 2999999, '\\x00');`,
  });
  expect(report.outcome).toBe("failed");
  expect(findingsOf(report).toSorted()).toEqual([
    "assertion: SELECT count(*) > 600 FROM items is not true: it is false",
    "entry: ACL public.TABLE orders is missing",
    "entry: INDEX public.items_order is missing",
    "index: INDEX public.items_order is missing",
    "large object: large object 70002 has other contents in its 3000000 bytes",
    "rows: table public.items has 499 rows, not 500",
    "rows: table public.orders has other contents: the sums of its 20000 rows are not the same",
    "sequence: sequence public.tickets stands at 40, true, not at 41, true (last_value, is_called)",
  ]);
  expect(report.differences.find(({ name }) => name === "ACL public.TABLE orders")).toMatchObject({
    expected: expect.stringContaining("GRANT SELECT ON TABLE public.orders TO drill_reader"),
    found: null,
  });
  const [listed] = (await repository.list("defects")).restorePoints;
  expect(listed).toMatchObject({ id, drillOutcome: "failed" });
  await expectEvidence(report.evidence);
});

async function expectEvidence(evidence: { readonly json: string; readonly html: string } | null): Promise<void> {
  expect(evidence).not.toBeNull();
  const page = await readFile(evidence!.html, "utf8");
  expect(page).not.toMatch(/<script|src=|href=|url\(|@import/);
  expect(page).toContain("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;");
  expect(page).toContain("NOT equal");
  expect(page).toContain("GRANT SELECT ON TABLE public.orders TO drill_reader");
  const document = JSON.parse(await readFile(evidence!.json, "utf8")) as { outcome: string; tables: unknown[] };
  expect(document.outcome).toBe("failed");
  expect(document.tables.length).toBe(4);
  for (const file of [evidence!.json, evidence!.html]) expect((await stat(file)).mode & 0o777).toBe(0o600);
}

test("drill --on a server passes, drops its database, and tells equal expressions from different ones", async () => {
  const report = await drill(repository, id, { on: onServer(), assertions: ["SELECT true"] });
  expect(findingsOf(report)).toEqual([]);
  expect(report.outcome).toBe("passed");
  // The server words varchar IN (…) otherwise when it reads it again.
  expect(report.excused.map(({ name }) => name)).toEqual(["TABLE public.items"]);
  expect(report.tables.find(({ name }) => name.startsWith("partitioned table"))).toMatchObject({ storedRows: 99 });
  expect(await databases()).toBe("");

  const planted = await drill(repository, id, {
    on: onServer(),
    plant: `
      ALTER TABLE items DROP CONSTRAINT items_note_check, ADD CONSTRAINT items_note_check CHECK (note IN ('a', 'b', 'c'));
      ALTER TABLE items ALTER CONSTRAINT items_order_fkey DEFERRABLE;
      UPDATE painted SET note = 'n2' WHERE id = 1;
      SELECT lo_unlink(70001), lo_create(70009);
      ALTER TABLE ${HOSTILE} OWNER TO drill_reader;
      CREATE TABLE surplus ();`,
  });
  expect(findingsOf(planted).toSorted()).toEqual([
    "entry: BLOB METADATA 70001..70002 is missing",
    "entry: BLOB METADATA 70002..70009 is not in the archive",
    "entry: BLOBS 70001..70002 is missing",
    "entry: BLOBS 70002..70009 is not in the archive",
    "entry: FK CONSTRAINT public.items items_order_fkey has another definition",
    expect.stringMatching(/^entry: TABLE DATA public\.<script>.* has another owner$/),
    "entry: TABLE DATA public.surplus is not in the archive",
    expect.stringMatching(/^entry: TABLE public\.<script>.* has another owner$/),
    "entry: TABLE public.items has another definition",
    "entry: TABLE public.surplus is not in the archive",
    "large object: large object 70001 is missing",
    "large object: large object 70009 is not in the archive",
    "rows: partitioned table public.painted has other contents: the sums of its 99 rows are not the same",
  ]);
  expect(await databases()).toBe("");
});

test("drill with another pg_dump of the major compares everything, and finds what it finds otherwise", async () => {
  const passed = await drill(repository, id, { on: onServer(), path: "" });
  expect(findingsOf(passed)).toEqual([]);
  expect(passed).toMatchObject({ outcome: "passed", notCompared: [], pgDump: { path: null } });
  expect(passed.compared.entries).toBeGreaterThan(20);

  const planted = await drill(repository, id, {
    on: onServer(),
    path: "",
    plant: "DROP TABLE items; ALTER SEQUENCE tickets RENAME TO renamed; ALTER TABLE orders OWNER TO drill_reader;",
  });
  expect(findingsOf(planted)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(
        /^rows: table public\.items could not be read from the restored database: relation .* does not exist$/,
      ),
      "sequence: sequence public.tickets is missing",
      "constraint: CONSTRAINT public.items items_pkey is missing",
      "constraint: FK CONSTRAINT public.items items_order_fkey is missing",
      "index: INDEX public.items_order is missing",
      "entry: SEQUENCE public.tickets is missing",
      "entry: SEQUENCE public.renamed is not in the archive",
      "entry: TABLE public.orders has another owner",
      "entry: TABLE public.items is missing",
    ]),
  );
  expect(await databases()).toBe("");

  // One that cannot read such a server is no judge.
  const { pgDump } = await clientTools(17);
  await expect(drill(repository, id, { on: onServer(), pgDump })).rejects.toMatchObject({ code: "pg_dump_missing" });
});

test("drill says what it could not compare, and is not passed then", async () => {
  const pgDump = join(folder, "pg_dump-that-fails");
  await writeFile(pgDump, `#!/bin/sh\ncase "$1" in --version) echo 'pg_dump (PostgreSQL) 18.0';; *) echo 'pg_dump: error: no' >&2; exit 1;; esac\n`, { mode: 0o755 }); // prettier-ignore
  const report = await drill(repository, id, { on: onServer(), pgDump });
  expect(findingsOf(report)).toEqual([]);
  expect(report.outcome).toBe("partial");
  expect(report.compared.entries).toBeNull();
  expect(report.notCompared).toMatchObject([{ name: "table of contents" }]);
  const [listed] = (await repository.list("defects")).restorePoints;
  expect(listed).toMatchObject({ drillOutcome: "partial" });
});

test("drill that is cancelled leaves no database", async () => {
  const controller = new AbortController();
  let seen = "";
  const drilling = drill(repository, id, {
    on: onServer(),
    signal: controller.signal,
    onPhase: (phase) => {
      if (phase !== "data and indexes") return;
      void databases()
        .then((names) => (seen = names))
        .finally(() => controller.abort(new Error("stop")));
    },
    plant: "SELECT pg_sleep(5)",
  });
  await expect(drilling).rejects.toThrow("stop");
  expect(seen).toMatch(/^cairn_drill_/);
  expect(await databases()).toBe("");
});

test("drill without server programs of the major names --on and the packages; one that does not start says why", async () => {
  const context = { ...repository.context(), environment: { PATH: "" } };
  const toc = { header: {}, textEncoding: "utf8", entries: [] } as unknown as Parameters<
    typeof openThrowaway
  >[1]["toc"];
  const request = { toc, restorePointId: id, sourceMajor: 99, rawBytes: 0, globals: null };
  await expect(openThrowaway(context, request)).rejects.toMatchObject({
    code: "preflight_failed",
    message: "no server programs of PostgreSQL 99 were found for the drill",
    hint: expect.stringMatching(/apt-get install postgresql-99 .*--on SERVER/),
  });
  const extension = {
    description: "EXTENSION",
    tag: "nowhere_to_be_found",
    owner: "",
    definition: "",
    tablespace: null,
  };
  const needing = { ...toc, entries: [extension] } as unknown as typeof toc;
  const temporary = await useTemporaryFolder("places");
  await expect(openThrowaway(context, { ...request, toc: needing, sourceMajor: 18 })).rejects.toMatchObject({
    message: "PostgreSQL 18 is here without extensions that are needed: nowhere_to_be_found",
    hint: expect.stringContaining("--on SERVER"),
  });

  // Programs of the right major that do not work.
  const bin = join(folder, "broken", "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "postgres"), "#!/bin/sh\necho 'postgres (PostgreSQL) 97.1'\n", { mode: 0o755 });
  await writeFile(join(bin, "initdb"), "#!/bin/sh\necho 'no room at all' >&2\nexit 1\n", { mode: 0o755 });
  const broken = { ...context, environment: { PATH: bin } };
  await expect(openThrowaway(broken, { ...request, sourceMajor: 97 })).rejects.toMatchObject({
    code: "preflight_failed",
    message: "could not start a throwaway server for the drill: initdb failed for a throwaway server",
    detail: expect.stringContaining("no room at all"),
    hint: expect.stringContaining("--on SERVER"),
  });
  expect(await readdir(temporary)).toEqual([]);
});

test("drill ended by Ctrl-C stops its server and removes its folder", async () => {
  const temporary = await useTemporaryFolder("command");
  const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));
  const environment = {
    PATH: await toolsPath(),
    HOME: folder,
    TMPDIR: temporary,
    CAIRN_PASSPHRASE: repository.access.givenPassphrase ?? "",
  };
  const child = spawn(process.execPath, [launcher, "drill", id, "--repo", repository.access.location], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  let said = "";
  let server = 0;
  for await (const text of child.stderr.setEncoding("utf8")) {
    said += String(text);
    if (server > 0 || !said.includes("restoring")) continue;
    const [name = ""] = await readdir(temporary);
    server = Number.parseInt(await readFile(join(temporary, name, "data", "postmaster.pid"), "utf8"), 10);
    expect(isAlive(server)).toBe(true);
    child.kill("SIGINT");
  }
  expect(await exited, said).toBe(130);
  expect(isAlive(server)).toBe(false);
  expect(await readdir(temporary)).toEqual([]);
});

test("fitDatabase() makes a database whose locale is not on this machine with locale C, and says so", async () => {
  await using session = await openSession(await resolveConnection({ source: onServer(), ...repository.context() }));
  const definition = (locale: string): string =>
    `CREATE DATABASE drill_fit WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = '${locale}';\n`;
  const tocOf = (locale: string): Toc => {
    const entries = [{ description: "DATABASE", tag: "drill_fit", namespace: null, definition: definition(locale) }];
    return { header: {}, textEncoding: "utf8", entries } as unknown as Toc;
  };
  const { signal } = repository.context();
  const fitting = tocOf("C");
  expect(await fitDatabase(session, fitting, signal)).toEqual({ toc: fitting, notCompared: [] });
  const { toc, notCompared } = await fitDatabase(session, tocOf("xx_XX.UTF-8"), signal);
  expect(toc.entries[0]!.definition).toBe(
    "CREATE DATABASE drill_fit WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';\n",
  );
  expect(notCompared).toEqual([
    { name: "DATABASE drill_fit", reason: expect.stringMatching(/^made with locale C, .*xx_XX\.UTF-8/) },
  ]);
  expect(await pg.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'drill_fit'")).toBe("0");
});

test("drill of a damaged repository fails by the table's name", async () => {
  await using damaged = await TestRepository.create();
  await using small = await pg.createDatabase();
  await small.psql(
    "CREATE TABLE whole (id int); INSERT INTO whole VALUES (1); CREATE TABLE broken (t text); INSERT INTO broken SELECT md5(i::text) FROM generate_series(1, 90000) AS i",
  );
  const receipt = await damaged.backup(small.uri);
  const packs = join(damaged.access.location, "packs");
  const [pack = ""] = (await readdir(packs, { recursive: true })).filter((name) => /-\d+$/.test(name));
  const bytes = await readFile(join(packs, pack));
  bytes[bytes.length >> 1]! ^= 1;
  await chmod(join(packs, pack), 0o600);
  await writeFile(join(packs, pack), bytes);
  const report = await drill(damaged, receipt.id, { on: onServer() });
  expect(report.outcome).toBe("failed");
  expect(findingsOf(report)).toEqual([
    expect.stringMatching(/^restore: TABLE DATA public\.broken was not restored: could not read chunk/),
    expect.stringMatching(/^rows: table public\.broken could not be read from the repository: could not read chunk/),
  ]);
  expect((await damaged.list()).restorePoints).toMatchObject([{ drillOutcome: "failed", isDamaged: true }]);
  expect(report.warnings.join()).toMatch(/^the repository is damaged: item \d+ of \S+$/);
  // Marked as a verify marks it: the next backup stores it anew, and is whole.
  const again = await damaged.backup(small.uri);
  expect(again.newBytes).toBeGreaterThan(100_000);
  expect((await damaged.verify(again.id)).isIntact).toBe(true);
});

/** A folder for temporary files of this process alone; the servers may run as another user. */
async function useTemporaryFolder(name: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { mode: 0o755 });
  await chmod(folder, 0o755);
  process.env["TMPDIR"] = path;
  return path;
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}
