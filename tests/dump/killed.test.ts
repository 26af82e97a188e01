// `cairn dump` ended by SIGKILL while an installed pg_dump runs: pg_dump ends too, and the next run removes the folder of
// the socket that was left behind.

import { mkdir, readdir, readFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { expect, test } from "vitest";

import { FaultBench, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import { waitUntil } from "./trial-database.ts";

/** Processes whose environment names the folder of the socket; only Linux can be asked so. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const id of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${id}/environ`, "latin1").catch(() => ""); // ended meanwhile, or another's
    if (environment.includes(`PGHOST=${folder}/`)) found.push(id);
  }
  return found;
}

test.runIf(process.platform === "linux")(
  "cairn dump ended by SIGKILL takes pg_dump with it, and the next run sweeps its folder",
  async () => {
    const pg = await server(18);
    await using bench = await FaultBench.create({ repository: "none" });
    await using database = await pg.createDatabase();
    await database.psql("CREATE TABLE held (a int)");
    const temporary = bench.file("tmp");
    await mkdir(temporary);
    const words = ["dump", database.uri, "--pg-dump", pg.tools.pgDump, "--file", bench.file("a")];
    const options = { environment: { TMPDIR: temporary } };

    const locker = new Client({ connectionString: database.uri });
    await locker.connect();
    await locker.query("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
    const running = bench.start(words, options);
    await waitUntil(database, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock')");
    const [left] = await readdir(temporary);
    expect(await processesOf(temporary)).toHaveLength(1);
    running.child.kill("SIGKILL");
    await running.ended;
    await until("pg_dump has ended", async () => (await processesOf(temporary)).length === 0);
    await locker.end();

    expect(await readdir(temporary)).toEqual([left]);
    const before = new Date(Date.now() - 3_600_000);
    await utimes(join(temporary, left!), before, before);
    await bench.succeeds(words, options);
    expect(await readdir(temporary)).toEqual([]);
  },
);
