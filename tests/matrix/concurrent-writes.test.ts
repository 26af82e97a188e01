// A backup of a database that pgbench writes to all the while is one consistent snapshot: pgbench's transactions add one
// delta to an account, a teller and a branch and note it in the history, so the four sums are equal at any moment.

import { spawn } from "node:child_process";

import { expect, test } from "vitest";

import { clientTools, runTool, server, type TestDatabase } from "../support/servers.ts";
import { cleanEnvironment } from "../support/server-user.ts";
import { countCombinations, isFullMatrix, TestRepository } from "./support.ts";

const SCALE = 5;
const CLIENT_COUNT = 4;
const TIME_LIMIT_S = 120;
const SETTLED_HISTORY_ROWS = 200;

const sums = `SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
  (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history)`;

/** pgbench at work; disposing ends it. */
function startPgbench(program: string, database: TestDatabase): AsyncDisposable {
  const args = ["-n", "-c", String(CLIENT_COUNT), "-T", String(TIME_LIMIT_S), database.uri];
  const child = spawn(program, args, { env: cleanEnvironment(), stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      await ended;
    },
  };
}

async function historyRows(database: TestDatabase): Promise<number> {
  return Number(await database.psql("SELECT count(*) FROM pgbench_history"));
}

const count = countCombinations("concurrent writes");

test.each(isFullMatrix ? ([13, 14, 15, 16, 17, 18] as const) : ([18] as const))(
  "backup --jobs 4 of PostgreSQL %i under pgbench holds pgbench's invariants",
  async (major) => {
    const pg = await server(major);
    const { pgbench } = await clientTools(major);
    await using repository = await TestRepository.create();
    await using source = await pg.createDatabase();
    await runTool(pgbench, ["-i", "-q", "-s", String(SCALE), source.uri]);
    const rowsAtStart: number[] = [];
    {
      await using _writing = startPgbench(pgbench, source);
      // Two restore points: the second one takes over what did not change.
      for (const _run of [1, 2]) {
        const before = rowsAtStart.at(-1) ?? 0;
        await expect
          .poll(() => historyRows(source), { timeout: 60_000 })
          .toBeGreaterThan(before + SETTLED_HISTORY_ROWS);
        rowsAtStart.push(await historyRows(source));
        await repository.backup(source.uri, { jobs: 4 });
        expect(await historyRows(source)).toBeGreaterThan(rowsAtStart.at(-1)!);
      }
    }
    const { restorePoints } = await repository.list();
    expect(restorePoints.length).toBe(2);
    for (const [index, { id }] of restorePoints.toReversed().entries()) {
      await using copy = await pg.createDatabase();
      expect(await repository.restore(id, copy.uri)).toMatchObject({ isComplete: true, entriesFailed: [] });
      const values = (await copy.psql(sums)).split("|");
      expect(values.length).toBe(4);
      expect(new Set(values).size, values.join(" ")).toBe(1);
      expect(await historyRows(copy)).toBeGreaterThanOrEqual(rowsAtStart[index]!);
      expect(await historyRows(copy)).toBeLessThan(await historyRows(source));
      expect(await copy.psql("SELECT count(*) FROM pgbench_accounts")).toBe(String(SCALE * 100_000));
      count("pgbench", String(major), `restore point ${index + 1}`);
    }
  },
);
