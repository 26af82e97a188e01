// A run's record beside clocks that stand still, and beside those who read it while it is renewed.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import type { Repository } from "./index.ts";
import { changed, FACTS, PASSPHRASE, smallRepository, temporaryFolder, TOC } from "./repository.fixture.ts";

const MINUTE_MS = 60_000;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let [wallMs, monotonicMs] = [0, 0];
beforeEach(async () => {
  [wallMs, monotonicMs] = [Date.UTC(2026, 10, 22), 0];
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  folder = await temporaryFolder();
  await smallRepository(openLocalStorage(folder.path));
});
afterEach(async () => {
  vi.useRealTimers();
  await folder[Symbol.asyncDispose]();
});

async function open(storage: Storage = openLocalStorage(folder.path)): Promise<Repository> {
  const clock = { now: () => new Date(wallMs), monotonicMs: () => monotonicMs };
  return await openRepository(storage, { passphrase: PASSPHRASE, clock });
}

const records = async (): Promise<string[]> => {
  const names = await readdir(join(folder.path, "runs"), { recursive: true }).catch(() => []);
  return names.map((name) => name.split("/")[1]).filter((name) => name !== undefined).toSorted(); // prettier-ignore
};

/** A minute goes by; `newest` is the counter that is written then. */
async function renew(newest: number): Promise<void> {
  [wallMs, monotonicMs] = [wallMs + MINUTE_MS, monotonicMs + MINUTE_MS];
  vi.advanceTimersByTime(MINUTE_MS);
  const kept = newest === 1 ? ["00000000", "00000001"] : [newest - 1, newest].map((counter) => String(counter).padStart(8, "0")); // prettier-ignore
  await vi.waitFor(async () => expect(await records()).toEqual(kept));
}

test.each([
  ["the wall clock alone tells of it (the machine slept)", 25, 0],
  ["the monotonic clock alone tells of it (the wall clock was set back)", -600, 25],
])(
  "a run that was not renewed for 25 minutes never commits, though it is renewed again: %s",
  async (_, wall, monotonic) => {
    const run = await (await open()).startRun({ kind: "backup" });
    await renew(1);
    [wallMs, monotonicMs] = [wallMs + wall * MINUTE_MS, monotonicMs + monotonic * MINUTE_MS];
    await renew(2);
    await renew(3);
    await expect(run.commit({ ...FACTS, relations: [], largeObjects: [], toc: TOC })).rejects.toMatchObject({
      code: "stalled",
      message: "the run's record was not renewed for 26 minutes",
    });
    await run.abort();
  },
);

test("a run that sleeps while its manifest is written withdraws it", async () => {
  const storage = openLocalStorage(folder.path);
  const sleeping = changed(storage, {
    put: async (name, bytes, options) => {
      const written = await storage.put(name, bytes, options);
      if (name.startsWith("backups/")) wallMs += 25 * MINUTE_MS;
      return written;
    },
  });
  const repository = await open(sleeping);
  const run = await repository.startRun({ kind: "backup" });
  await expect(run.commit({ ...FACTS, relations: [], largeObjects: [], toc: TOC })).rejects.toMatchObject({
    code: "stalled",
  });
  await run.abort();
  expect(await repository.restorePoints()).toEqual([]);
});

test("a record that was listed stays for another minute, and all go when the run ends", async () => {
  const run = await (await open()).startRun({ kind: "backup" });
  for (const counter of [1, 2, 3]) await renew(counter);
  await run.abort();
  expect(await records()).toEqual([]);
});

test("Repository.runs() beside renewals: a run is there with its record; one that ended meanwhile is not", async () => {
  const storage = openLocalStorage(folder.path);
  const run = await (await open()).startRun({ kind: "backup" });
  await renew(1);
  const between: (() => Promise<void>)[] = [
    async () => {
      await renew(2);
      await renew(3);
    },
    async () => await run.abort(),
  ];
  const observing = await open(
    changed(storage, {
      read: async (name, ...rest) => {
        if (name.startsWith("runs/")) await between.shift()?.();
        return await storage.read(name, ...rest);
      },
    }),
  );
  // The second read of the first look comes after the renewals; the second look's comes after the end.
  between.splice(1, 0, async () => undefined);
  expect(await observing.runs()).toMatchObject([{ runId: run.id, counter: 3, record: { kind: "backup" } }]);
  expect(await observing.runs()).toEqual([]);
});

test("a run whose record cannot be read may be a prune or an expire", async () => {
  const storage = openLocalStorage(folder.path);
  const runId = "20261121T235900Z-00000000";
  await storage.put(`runs/${runId}/00000000`, Buffer.from("broken"));
  const repository = await open();
  const options = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
  await expect(repository.prune(options)).rejects.toMatchObject({ code: "locked", message: expect.stringContaining(runId) as string }); // prettier-ignore
  const run = await repository.startRun({ kind: "backup" });
  const { id } = await run.commit({ ...FACTS, relations: [], largeObjects: [], toc: TOC });
  const impatient = await openRepository(storage, {
    passphrase: PASSPHRASE,
    clock: { now: () => new Date(wallMs), monotonicMs: () => (monotonicMs += MINUTE_MS) },
  });
  await expect(impatient.hold(id, "")).rejects.toMatchObject({ code: "locked", message: expect.stringContaining(runId) as string }); // prettier-ignore
  // A run that began so long ago and was renewed never since is none.
  wallMs += 3 * 60 * MINUTE_MS;
  expect(await impatient.hold(id, "")).toMatchObject({ restorePointId: id });
});
