// The storage contract on real WebDAV servers.

import { randomBytes } from "node:crypto";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import { collect, describeStorage, namesIn, sha256, stream } from "./contract.ts";
import { isFull, startApache, startRclone, surroundingsOf, uriAt } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";

if (!isFull) process.stderr.write("storage tests: WebDAV on Apache; rclone, 100,000 names: npm run test:storages\n");

describe("Apache", () => {
  let server: WebdavServer;
  beforeAll(async () => {
    server = await startApache();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  async function fill(place: string, object: string): Promise<void> {
    const path = join(server.folder, place, object);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, object);
  }

  describeStorage("webdav on Apache", {
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
    const file = `.cairn-tmp/0000000000000000.${writer}`;
    await using storage = await openStorage(uriAt(server.host, "old"), surroundingsOf());
    // The server makes the folder, and so may delete in it.
    await storage.put("x", Buffer.from("1"));
    await fill("old", file);
    for (const [days, isDead] of [
      [1, false],
      [3, true],
    ] as const) {
      const time = new Date(Date.now() - days * 86_400_000);
      await utimes(join(server.folder, "old", file), time, time);
      expect(await collect(storage.leftovers())).toEqual([
        { name: `.cairn-tmp/${writer}`, sizeBytes: file.length, isDead },
      ]);
    }
    await storage.deleteLeftover(`.cairn-tmp/${writer}`);
    expect(await collect(storage.leftovers())).toEqual([]);
  });
});

// Slow, and it lists no folder in which something vanishes meanwhile: not the whole contract.
test.runIf(isFull)(
  "rclone serve webdav: obeys conditions, streams, reads ranges, lists",
  { timeout: 120_000 },
  async () => {
    await using server = await startRclone();
    await using storage = await openStorage(uriAt(server.host, "place"), surroundingsOf());
    await refuseUnconditionalStorage(storage);
    const bytes = randomBytes(9 * MIB);
    await stream(await storage.openWriter("a/b", { ifAbsent: true }), bytes, MIB);
    expect(sha256(await storage.read("a/b")).equals(sha256(bytes))).toBe(true);
    const range = await storage.read("a/b", { offset: 5 * MIB, lengthBytes: 1000 });
    expect(Buffer.compare(range, bytes.subarray(5 * MIB, 5 * MIB + 1000))).toBe(0);
    await expect(storage.put("a/b", bytes.subarray(0, 10), { ifAbsent: true })).rejects.toMatchObject({
      code: "repository_exists",
    });
    expect(await namesIn(storage)).toEqual(["a/b"]);
    const writer = await storage.openWriter("a/c");
    await writer.write(bytes);
    await writer.abort();
    expect(await collect(storage.leftovers())).toEqual([]);
  },
);
