// Restores into targets that do not fit: refused before the first statement, or every failed entry listed, exit status 1
// and a summary; and words of the command line that make no sense.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ownServer, server } from "../support/servers.ts";
import type { OwnServer, TestDatabase, TestServer } from "../support/servers.ts";
import { FaultBench } from "./support.ts";

let pg: TestServer;
let source: TestDatabase;
let bench: FaultBench;
const role = "cairn_faults_owner";

beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql(`
    DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${role}') THEN CREATE ROLE ${role}; END IF;
    END $$;
    CREATE EXTENSION pg_logicalinspect; -- of 18 alone
    CREATE TABLE owned (id int PRIMARY KEY, text text);
    INSERT INTO owned SELECT i, 'row ' || i FROM generate_series(1, 100) AS i;
    ALTER TABLE owned OWNER TO ${role};
    CREATE TABLE free (id int PRIMARY KEY);
    INSERT INTO free SELECT generate_series(1, 10);
    GRANT SELECT ON free TO ${role};`);
  bench = await FaultBench.create();
  await bench.backup(source.uri, ["--lineage", "main"]);
});

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]();
  await source?.[Symbol.asyncDispose]();
  await pg?.psql("postgres", `DROP ROLE IF EXISTS ${role}`);
});

describe("a target that is not empty", () => {
  test("is refused before the first statement", async () => {
    await using target = await pg.createDatabase();
    await target.psql("CREATE TABLE precious (id int); INSERT INTO precious VALUES (1);");
    const facts =
      "SELECT pg_current_xact_id_if_assigned() IS NULL, (SELECT count(*) FROM pg_class), (SELECT sum(id) FROM precious)";
    const before = await target.psql(facts);
    const outcome = await bench.run(["restore", "latest", "--to", target.uri]);
    expect([outcome.status, outcome.output]).toEqual([1, ""]);
    expect(outcome.errors).toContain(
      `error: database "${target.name}" is not empty\nDETAIL:  It holds table precious.`,
    );
    expect(outcome.errors).toContain("HINT:  ");
    expect((await bench.run(["restore", "latest", "--to", target.uri, "--json"])).json().error.code).toBe(
      "target_not_empty",
    );
    expect(await target.psql(facts)).toBe(before);
  });

  test("of the name that --create would make is refused", async () => {
    const outcome = await bench.run(["restore", "latest", "--to", pg.uri("postgres"), "--create"]);
    expect([outcome.status, outcome.errors]).toEqual([
      1,
      expect.stringContaining(`database "${source.name}" exists already`),
    ]);
  });

  test("a scratch name that is taken, whole or incomplete, is refused and left alone", async () => {
    await using taken = await pg.createDatabase("cairn_faults_taken");
    await using incomplete = await pg.createDatabase("cairn_faults_other_incomplete");
    for (const [name, says] of [
      ["cairn_faults_taken", taken.name],
      ["cairn_faults_other", incomplete.name],
    ] as const) {
      const words = ["restore", "latest", "--to", pg.uri("postgres"), "-t", "free", `--scratch=${name}`];
      const outcome = await bench.run(words);
      expect([outcome.status, outcome.errors]).toEqual([
        1,
        expect.stringContaining(`database "${says}" exists already`),
      ]);
    }
    const left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'cairn_faults_%'";
    expect(await pg.psql("postgres", left)).toBe("2");
  });
});

describe("a target that lacks an extension and a role", () => {
  let bare: OwnServer;

  beforeAll(async () => {
    bare = await ownServer(15);
  });
  afterAll(async () => bare?.[Symbol.asyncDispose]());

  async function freshTarget(): Promise<string> {
    return (await bare.createDatabase()).uri;
  }

  test("lists each error with its entry, goes on, and ends with exit status 1 and a summary", async () => {
    const target = await freshTarget();
    const outcome = await bench.run(["restore", "latest", "--to", target]);
    expect(outcome.status).toBe(1);
    expect(outcome.errors).toContain(`role "${role}" does not exist on the target`);
    expect(outcome.errors).toContain('extension "pg_logicalinspect" is not installed');
    expect(outcome.output).toMatch(/EXTENSION pg_logicalinspect: .*pg_logicalinspect/);
    expect(outcome.output).toMatch(/TABLE public\.owned.*role "cairn_faults_owner" does not exist/);
    expect(outcome.output).toMatch(/ACL public\.(TABLE )?free.*role "cairn_faults_owner" does not exist/);
    expect(outcome.output).toMatch(/NOT COMPLETE: \d+ entries of .* failed/);
    const report = (await bench.run(["restore", "latest", "--to", await freshTarget(), "--json"])).json();
    expect(report.isComplete).toBe(false);
    expect(report.entriesFailed.length).toBeGreaterThanOrEqual(3);
    for (const { description, tag, error } of report.entriesFailed) {
      expect([description, tag, error].every((text) => text !== "")).toBe(true);
    }
    // Rows of what could be made are there.
    const name = decodeURIComponent(new URL(target).pathname.slice(1));
    expect(await bare.psql(name, "SELECT (SELECT count(*) FROM owned), (SELECT count(*) FROM free)")).toBe("100|10");
  });

  test("with --exit-on-error ends at the first error", async () => {
    const words = ["restore", "latest", "--to", await freshTarget(), "--exit-on-error", "--json"];
    const outcome = await bench.run(words);
    expect(outcome.status).toBe(1);
    expect(outcome.json().entriesFailed).toHaveLength(1);
    expect(outcome.json().isComplete).toBe(false);
  });

  test("with --no-owner --no-acl succeeds as far as roles go", async () => {
    const words = ["restore", "latest", "--to", await freshTarget(), "--no-owner", "--no-acl", "--json"];
    const report = (await bench.run(words)).json();
    expect(JSON.stringify(report.entriesFailed)).not.toContain(role);
  });
});

test("words that make no sense are exit status 2, and nothing is begun", async () => {
  for (const words of [
    ["backup", source.uri, "--no-such-flag"],
    ["backup", source.uri, "--jobs", "0"],
    ["backup", source.uri, "--compress", "lzma"],
    ["backup", source.uri, "--tag", "novalue"],
    ["backup", source.uri, "-f", "x.dump"],
    ["backup", source.uri, "--inserts"],
    ["backup", source.uri, "--lineage", ""],
    ["backup", source.uri, "--lineage", "x".repeat(201)],
    ["backup", source.uri, source.uri],
    ["restore", "latest"],
    ["restore", "latest", "--to", source.uri, "--no-such-flag"],
    ["restore", "latest", "--to", source.uri, "-t", "free", "--clean"],
    ["restore", "latest", "--to", source.uri, "-t", "free", "--scratch=x", "--in-place"],
    ["export", "latest"],
    ["export", "latest", "--file", bench.file("x"), "--archive-version", "1.99"],
    ["verify"],
    ["list", "--no-such-flag"],
    ["show"],
    ["no-such-command"],
  ]) {
    const outcome = await bench.run(words);
    expect([words.join(" "), outcome.status, outcome.output]).toEqual([words.join(" "), 2, ""]);
    expect(outcome.errors).toMatch(/cairn: error: /);
  }
  expect((await bench.list()).restorePoints).toHaveLength(1);
});

test("references that mean nothing, or more than one thing, are exit status 1 with what there is", async () => {
  for (const reference of ["2099", "nobody@latest", "main@2001-01-01", "main@yesterday"]) {
    const outcome = await bench.run(["verify", reference]);
    expect([reference, [1, 2].includes(outcome.status ?? 0)]).toEqual([reference, true]);
    expect(outcome.errors).toMatch(/cairn: error: .*\n(.*\n)?/);
  }
  await bench.backup(source.uri, ["--lineage", "second"]);
  const outcome = await bench.run(["verify", "latest"]);
  expect([outcome.status, outcome.errors]).toEqual([1, expect.stringMatching(/main[\s\S]*second/)]);
});
