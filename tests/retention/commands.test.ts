// expire, hold, release, prune and check as a user runs them: exit statuses, what is printed, what is changed.

import { execFile } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DAY_MS, PruneBench, rows } from "../../src/repository/prune/prune.fixture.ts";
import { PASSPHRASE, temporaryFolder } from "../../src/repository/repository.fixture.ts";

const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));

interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
let ids: readonly [string, string, string];

beforeAll(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
  const first = await bench.backUp({ orders: [rows("a"), rows("b")], items: [rows("i")] });
  const second = await bench.backUp({ orders: [rows("a"), rows("c")], items: [rows("i")] });
  ids = [first, second, await bench.backUp({ orders: [rows("a"), rows("d")], items: [rows("i")] })];
});
afterAll(async () => await folder[Symbol.asyncDispose]());

async function cairn(...words: string[]): Promise<Outcome> {
  const environment = { PATH: process.env["PATH"], HOME: folder.path, CAIRN_REPOSITORY: bench.path };
  const options = { env: { ...environment, CAIRN_PASSPHRASE: PASSPHRASE } };
  return await new Promise((resolve) => {
    execFile(process.execPath, [launcher, ...words], options, (error, output, errors) => {
      resolve({ status: error === null ? 0 : Number(error.code), output, errors });
    });
  });
}

// One story: each step finds what the one before it left.
test("expire, hold, release, prune and check, one after another", async () => {
  const [first, second, third] = ids;
  expect(await cairn("expire")).toMatchObject({
    status: 2,
    errors: expect.stringContaining("no --keep option") as string,
  });
  expect((await cairn("expire", "--keep-last", "x")).status).toBe(2);
  expect((await cairn("prune", "--max-unused", "10")).status).toBe(2);
  expect((await cairn("prune", "--grace", "1y")).status).toBe(2);
  expect(await cairn("prune", "--grace", "0h")).toMatchObject({
    status: 2,
    errors: expect.stringContaining("--grace must be at least 1h") as string,
  });

  const held = await cairn("hold", second, "--reason", "audit of 2026");
  expect(held).toMatchObject({ status: 0, output: `Restore point ${second} is held: audit of 2026.\n` });
  expect((await cairn("list")).output).toMatch(new RegExp(`${second} .* not verified, held +why=test\n`));
  const dry = await cairn("expire", "--keep-last", "1", "--dry-run");
  expect(dry.status).toBe(0);
  expect(dry.output).toMatch(new RegExp(`${third} .* keep +one of the last 1; the last good one of its lineage\n`));
  expect(dry.output).toMatch(new RegExp(`${second} .* keep +held: audit of 2026\n`));
  expect(dry.output).toMatch(new RegExp(`${first} .* would remove +not one of the last 1\n`));
  expect((await cairn("expire", "--keep-last", "1")).output).toContain("Removed 1 restore point, 2 stay.");
  expect((await cairn("release", second)).output).toContain("is no longer held (1 hold taken away)");
  const document = JSON.parse((await cairn("expire", "--keep-last", "1", "--json")).output) as object;
  expect(document).toMatchObject({ keptCount: 1, removedCount: 1, failedCount: 0, isDryRun: false });

  const looked = await cairn("prune", "--dry-run", "--max-unused", "0%");
  expect(looked.output).toContain("Nothing was changed. A prune now would do this:");
  expect(looked.output).toContain("Would list, to be deleted later:");
  expect(await bench.files("prune")).toEqual([]);
  const listed = await cairn("prune", "--max-unused", "0%");
  expect(listed.output).toMatch(/Listed in part, to be repacked later:\n {2}- \S+ \(.*\): \d+ % of it is not needed/);
  expect((await cairn("prune")).output).toMatch(/Waiting:\n {2}- list .*: its grace ends at /);
  expect((await cairn("list")).output).toContain('Needed by no restore point ("cairn prune" removes it in time)');
  // The same list, as it would have been written two days ago.
  await rm(join(bench.path, "prune"), { recursive: true });
  bench.nowMs = Date.now() - 2 * DAY_MS;
  await bench.prune();
  const pruned = await cairn("prune", "--grace", "1h", "--max-unused", "0%");
  expect(pruned.output).toMatch(/^Pruned\.\n/);
  expect(pruned.output).toMatch(/Deleted:\n(.|\n)*Repacked:\n/);
  expect((await cairn("prune", "--max-unused", "0%")).output).toMatch(/^Everything is needed\.\n/);

  const whole = await cairn("check", "--read-data", "100%");
  expect(whole).toMatchObject({ status: 0, output: expect.stringMatching(/^The repository is whole\.\n/) as string });
  expect((await cairn("verify", third)).status).toBe(0);
  const packs = (await bench.files("packs")).filter((name) => !name.endsWith(".moved"));
  for (const prefix of await readdir(join(bench.path, "packs"))) {
    await rm(join(bench.path, "packs", prefix, packs[0]!), { force: true });
  }
  const damaged = await cairn("check");
  expect(damaged.status).toBe(1);
  expect(damaged.output).toMatch(new RegExp(`- ${third}: pack \\S+: it is missing, touches public\\.`));
});
