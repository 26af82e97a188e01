// The bundled and the installed pg_dump of one major through the real relay: equal tables of contents; and a schema of
// 10,000 tables with a primary key at default server settings with both, in bounded memory.

import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runDump } from "../../src/operations/dump/index.ts";
import { loadDatabase, type SampleName, SAMPLE_NAMES, hasSampleData } from "../support/databases.ts";
import { clientTools, type OwnServer, ownServer, runTool, server, type TestDatabase } from "../support/servers.ts";
import { cleanEnvironment } from "../support/server-user.ts";
import { countCombinations, isFullMatrix, TestRepository } from "./support.ts";

const TABLE_COUNT = 10_000;
const MEMORY_BYTES_MAX = 400 << 20;
const SAMPLE_INTERVAL_MS = 25;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

const count = countCombinations("bundled and installed pg_dump");
let repository: TestRepository;

beforeAll(async () => {
  repository = await TestRepository.create();
});
afterAll(() => repository[Symbol.asyncDispose]());

/** The list as the stock pg_restore prints it, without the lines that name time and minor version. */
async function contentsOf(major: 17 | 18, file: string): Promise<string[]> {
  const list = await runTool((await clientTools(major)).pgRestore, ["--list", file]);
  return list.split("\n").filter((line) => !/^;\s+(Archive created at|Dumped by pg_dump version)/.test(line));
}

/** Dump ids follow the order in which the server finds its catalog's rows, which ANALYZE may change between two runs. */
function withoutNumbers(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^\d+; /, ""));
}

describe.each(isFullMatrix ? ([17, 18] as const) : ([18] as const))(
  "dump with pg_dump %i, bundled and installed,",
  (major) => {
    const samples: readonly ("torture" | SampleName)[] =
      isFullMatrix && hasSampleData ? ["torture", ...SAMPLE_NAMES] : ["torture"];

    test.each(samples)("gives equal tables of contents of %s", async (name) => {
      await using source = await loadDatabase(await server(major), name);
      const { pgDump } = await clientTools(major);
      for (const selection of isFullMatrix ? [[], ["-s"], ["-a"]] : [[]]) {
        const lists: string[][] = [];
        for (const program of ["bundled", pgDump]) {
          const file = repository.file(`${name}-${major}-${lists.length}-${selection.join("")}`.replaceAll("*", ""));
          const receipt = await runDump(repository.context(), {
            source: source.uri,
            file,
            overwrite: false,
            jobs: 2,
            archiveVersion: null,
            compression: null,
            pgDump: program,
            selection,
          });
          expect(receipt.pgDump.path).toBe(program === "bundled" ? null : pgDump);
          lists.push(await contentsOf(major, file));
        }
        const [bundled, installed] = lists as [string[], string[]];
        expect(bundled.length).toBeGreaterThan(name === "torture" ? 50 : 20); // 10 of them are the head
        // Exception by name: 17.5 orders entries that sort equal by OID, 17.6 and later do not.
        const compared = (lines: string[]): string[] =>
          major === 17 ? withoutNumbers(lines).toSorted() : withoutNumbers(lines);
        expect(compared(bundled)).toEqual(compared(installed));
      }
      count(name, String(major), "bundled = installed");
    });
  },
);

/** Resident memory of a process and all its descendants together; 0 where /proc is not there. */
async function residentBytes(pid: number): Promise<number> {
  let bytes = 0;
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const status = await readFile(`/proc/${next}/status`, "utf8").catch(() => "");
    bytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
    for (const task of await readdir(`/proc/${next}/task`).catch(() => [])) {
      const children = await readFile(`/proc/${next}/task/${task}/children`, "utf8").catch(() => "");
      waiting.push(...children.split(" ").filter(Boolean).map(Number));
    }
  }
  return bytes;
}

interface ChildRun {
  readonly status: number | null;
  readonly output: string;
  readonly peakBytes: number;
  readonly durationMs: number;
}

/** Runs the command as a user does, in a process of its own. */
async function cairn(args: readonly string[]): Promise<ChildRun> {
  const startedAtMs = performance.now();
  const env = { ...cleanEnvironment(), CAIRN_PASSPHRASE: repository.access.givenPassphrase! };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  let status: number | null | undefined;
  child.once("close", (code) => (status = code));
  let peakBytes = 0;
  while (status === undefined) {
    peakBytes = Math.max(peakBytes, await residentBytes(child.pid!));
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_INTERVAL_MS));
  }
  return { status, output, peakBytes, durationMs: Math.round(performance.now() - startedAtMs) };
}

describe("backup of 10,000 tables with a primary key at default server settings", () => {
  let pg: OwnServer; // alone: its lock table has hardly more room than this takes
  let many: TestDatabase;

  beforeAll(async () => {
    pg = await ownServer(18);
    await pg.start();
    many = await pg.createDatabase();
    const tables = Array.from(
      { length: TABLE_COUNT },
      (_, n) => `CREATE TABLE t${n + 1} (id int PRIMARY KEY, v text);`,
    );
    // A transaction each: one for all would need a lock for each table and index.
    await many.psql(tables.join("\n"));
    await many.psql("INSERT INTO t1 VALUES (1, 'one'); INSERT INTO t10000 VALUES (2, 'two')");
  });
  afterAll(() => pg[Symbol.asyncDispose]());

  const whole = [
    { kind: "installed", flags: [] },
    { kind: "bundled", flags: [] },
  ];
  const schemaOnly = [
    { kind: "installed", flags: ["-s"] },
    { kind: "bundled", flags: ["-s"] },
  ];
  test.each(isFullMatrix ? [...schemaOnly, ...whole] : whole)(
    "$kind pg_dump, flags $flags: under 400 MiB",
    async ({ kind, flags }) => {
      expect(await pg.psql("postgres", "SHOW max_locks_per_transaction")).toBe("64");
      const { pgDump, pgRestore } = await clientTools(18);
      const lineage = `${kind}${flags.join("")}`;
      const named = kind === "bundled" ? kind : pgDump;
      const words = [
        "--repo",
        repository.access.location,
        "--lineage",
        lineage,
        "--pg-dump",
        named,
        "--jobs",
        "2",
        "--json",
      ];
      const run = await cairn(["backup", many.uri, ...words, ...flags]);
      expect(run.status, run.output.slice(-2000)).toBe(0);
      const { restorePoints } = await repository.list(lineage);
      expect(restorePoints.length).toBe(1);
      expect(restorePoints[0]!.rowCount).toBe(flags.length === 0 ? 2 : 0);
      const { file } = await repository.export(restorePoints[0]!.id, `${lineage}.archive`);
      const list = await runTool(pgRestore, ["--list", file]);
      expect(list.match(/ TABLE public t\d+ /g)?.length).toBe(TABLE_COUNT);
      expect(list.match(/ CONSTRAINT public t\d+ /g)?.length).toBe(TABLE_COUNT);
      expect(list.match(/ TABLE DATA public t\d+ /g)?.length ?? 0).toBe(flags.length === 0 ? TABLE_COUNT : 0);
      process.stdout.write(
        `10,000 tables, ${kind} pg_dump ${flags.join(" ")}: ${Math.round(run.peakBytes / 2 ** 20)} MiB at most, ${run.durationMs} ms\n`,
      );
      expect(run.peakBytes).toBeGreaterThan(0);
      expect(run.peakBytes).toBeLessThan(MEMORY_BYTES_MAX);
      count("10,000 tables", "18", `${kind} pg_dump, backup ${flags.join(" ")}`);
    },
  );
});
