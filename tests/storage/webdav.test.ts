// The storage contract on real WebDAV servers.

import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { collect, describeStorage, namesIn } from "./contract.ts";
import { isFull, startApache, startRclone, surroundingsOf, uriAt } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";

const IMPLEMENTATIONS = [
  { name: "Apache", start: startApache },
  // Another implementation that people run.
  ...(isFull ? [{ name: "rclone", start: startRclone }] : []),
];
if (!isFull) process.stderr.write("storage tests: WebDAV on Apache; rclone, 100,000 names: npm run test:storages\n");

describe.each(IMPLEMENTATIONS)("$name", ({ name, start }) => {
  let server: WebdavServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  async function fill(place: string, object: string): Promise<void> {
    const path = join(server.folder, place, object);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, object);
  }

  describeStorage(`webdav on ${name}`, {
    open: (place) => openStorage(uriAt(server.host, place), surroundingsOf()),
    fill,
    hasAtomicUploads: true,
    manyNames: isFull ? 100_000 : 3000,
    pageNames: 1000,
  });

  test.runIf(isFull)("lists 100,000 names of one folder", { timeout: 10 * 60_000 }, async () => {
    const names = Array.from({ length: 100_000 }, (_, index) => `one/${String(index).padStart(6, "0")}`);
    for (const object of names) await fill("full", object);
    await using storage = await openStorage(uriAt(server.host, "full"), surroundingsOf());
    expect(await namesIn(storage)).toEqual(names);
  });

  test("what a writer elsewhere left is dead after two days by the server's clock, and not before", async () => {
    const writer = "0123456789ab-01234567-1-1-0123456789abcdef";
    await fill("old", `.cairn-tmp/0000000000000000.${writer}`);
    await using storage = await openStorage(uriAt(server.host, "old"), surroundingsOf());
    for (const [days, isDead] of [
      [1, false],
      [3, true],
    ] as const) {
      const time = new Date(Date.now() - days * 86_400_000);
      await utimes(join(server.folder, `old/.cairn-tmp/0000000000000000.${writer}`), time, time);
      expect(await collect(storage.leftovers())).toEqual([{ name: `.cairn-tmp/${writer}`, sizeBytes: 71, isDead }]);
    }
    await storage.deleteLeftover(`.cairn-tmp/${writer}`);
    expect(await collect(storage.leftovers())).toEqual([]);
  });
});
