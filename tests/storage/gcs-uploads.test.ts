// Uploads in pieces to gs: through a network that breaks: they go on from what the storage has, are known as ours when an
// answer was lost, and are cancelled when they fail.

import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { namesIn, sha256, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";
import { gcsUriAt, openGcsBench, PASS, saying } from "./gcs-support.ts";
import type { GcsBench } from "./gcs-support.ts";

/** A piece on its way, one being filled, and what the sockets hold. */
const UNSENT_BYTES_MAX = 32 * MIB;
const IF_ABSENT = { ifAbsent: true } as const;

let bench: GcsBench;
let proxy: FaultProxy;
let storage: Storage;
let keys: Record<string, string> = {};
let place = "";
let openUploads = 0;
beforeAll(async () => {
  bench = await openGcsBench();
  proxy = await openFaultProxy(bench.server.endpoint);
  keys = await bench.keys("writer");
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = randomBytes(6).toString("hex");
  storage = await openAt();
  openUploads = bench.server.bucket.openUploads();
  proxy.plan();
});

async function openAt(): Promise<Storage> {
  const policy = { firstDelayMs: 1, delayMsMax: 5, stallTimeoutMs: 20_000, attemptsMax: 5 };
  return await openStorage(gcsUriAt(proxy.endpoint, place), { environment: keys, retries: { policy } });
}

const PASSING: readonly (readonly [string, (method: string) => PlannedFault])[] = [
  ["a reset", (method) => ({ kind: "reset", method })],
  ["a lost answer", (method) => ({ kind: "lose-answer", method })],
  ["503", (method) => ({ ...saying(503, ""), method })],
];

test.each(PASSING)("an upload in pieces survives %s at each of its requests", async (_, fault) => {
  const bytes = randomBytes(9 * MIB);
  for (const [index, plan] of [[fault("POST")], [fault("PUT")], [{ ...PASS, method: "PUT" }, fault("PUT")]].entries()) {
    const name = `upload-${index}`;
    proxy.plan(...plan);
    expect(await stream(await storage.openWriter(name, IF_ABSENT), bytes, 3 * MIB)).toEqual({ name, sizeBytes: bytes.length }); // prettier-ignore
    expect(proxy.unmet(), name).toBe(0);
    expect(sha256(await storage.read(name)).equals(sha256(bytes))).toBe(true);
  }
  expect(storage.retryCount).toBe(3);
});

describe("an upload", () => {
  /** Three pieces, and two. */
  const bytes = randomBytes(25 * MIB);
  const few = bytes.subarray(0, 9 * MIB);

  /** Streams bytes, and gives up as a caller does. */
  async function upload(name: string, options = {}, content: Uint8Array = few): Promise<void> {
    await using writer = await storage.openWriter(name, options);
    await stream(writer, content, 5 * MIB);
  }

  test("goes on from what the storage has, when it took a part of a piece", async () => {
    bench.server.bucket.persistsAtMost = 3 * MIB + 123;
    await upload("a", IF_ABSENT, bytes);
    expect(storage.retryCount).toBe(0);
    const pieces = proxy.seen.filter((request) => request.startsWith("PUT"));
    expect(pieces).toHaveLength(4);
    expect(sha256(await storage.read("a")).equals(sha256(bytes))).toBe(true);
  });

  test("asks what the storage has, when the answer was lost", async () => {
    bench.server.bucket.persistsAtMost = 3 * MIB + 123;
    bench.server.uploadRequests.length = 0;
    proxy.plan({ kind: "lose-answer", method: "PUT" });
    await upload("a", IF_ABSENT, bytes);
    expect(storage.retryCount).toBe(1);
    expect(bench.server.uploadRequests.map(({ range }) => range)).toEqual([
      "bytes 0-8388607/*",
      "bytes */*",
      "bytes 3145728-8388607/*",
      "bytes 8388608-25165823/*",
      "bytes 25165824-26214399/26214400",
    ]);
    expect(sha256(await storage.read("a")).equals(sha256(bytes))).toBe(true);
  });

  test("is given up when the storage takes nothing of it, or has less than it had", async () => {
    const nothing = { kind: "status", status: 308, text: "", method: "PUT" } as const;
    proxy.plan({ ...nothing, times: 99 });
    await expect(upload("a")).rejects.toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("took nothing") as string,
      detail: expect.stringContaining("tried 5 times") as string,
    });
    proxy.plan({ ...PASS, method: "PUT" }, { ...nothing, times: 99 });
    await expect(upload("a")).rejects.toMatchObject({
      message: expect.stringContaining("the storage has 0 bytes, and had 8388608 before") as string,
    });
    expect(await namesIn(storage)).toEqual([]);
    expect(bench.server.bucket.openUploads()).toBe(openUploads);
  });

  test.each([404, 410])("that the storage forgot (%d) says so, once", async (status) => {
    proxy.plan({ ...PASS, method: "PUT" }, { kind: "status", status, method: "PUT", times: 99 });
    await expect(upload("a")).rejects.toMatchObject({
      code: "storage_failed",
      message: 'could not write "a": the storage no longer knows the upload',
    });
    expect(storage.retryCount).toBe(0);
    expect(await namesIn(storage)).toEqual([]);
  });

  test.each([412, 404, 410])("whose end was done, and answered with %d, is ours", async (status) => {
    proxy.plan({ ...PASS, method: "PUT" }, { kind: "done-but", status, text: "", method: "PUT" });
    await upload("a", IF_ABSENT);
    expect(proxy.unmet()).toBe(0);
    expect(sha256(await storage.read("a")).equals(sha256(few))).toBe(true);
  });

  test("that arrived damaged does not become an object", async () => {
    proxy.plan({ ...PASS, method: "PUT" }, { ...saying(400, "invalid", 'Provided MD5 hash "a" doesn\'t match calculated MD5 hash "b".'), method: "PUT", times: 9 }); // prettier-ignore
    await expect(upload("a")).rejects.toMatchObject({ code: "corrupt" });
    expect(await namesIn(storage)).toEqual([]);
  });

  test("is not begun where the name is taken", async () => {
    await storage.put("a", Buffer.from("1"));
    proxy.plan();
    await expect(upload("a", IF_ABSENT)).rejects.toMatchObject({
      code: "repository_exists",
    });
    expect(proxy.seen.filter((request) => request.startsWith("PUT"))).toEqual([]);
  });

  test("whose address lies elsewhere is sent there, without the token", async () => {
    const { server } = bench;
    server.uploadOrigin = server.endpoint;
    server.uploadRequests.length = 0;
    await upload("a", IF_ABSENT);
    expect(server.uploadRequests.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
    expect(proxy.seen.filter((request) => request.startsWith("PUT"))).toEqual([]);
    server.uploadOrigin = "ftp://elsewhere";
    await expect(upload("b")).rejects.toMatchObject({
      message: expect.stringContaining("the upload got no address") as string,
    });
    server.uploadOrigin = null;
  });
});

test("gives up what stays broken after so many tries, and leaves no upload behind", async () => {
  proxy.plan({ kind: "status", status: 503, method: "PUT", times: 99 });
  const writer = await storage.openWriter("a");
  await expect(stream(writer, randomBytes(30 * MIB), MIB)).rejects.toMatchObject({
    code: "storage_failed",
    retryable: true,
  });
  await writer.abort();
  expect(await namesIn(storage)).toEqual([]);
  expect(bench.server.bucket.openUploads()).toBe(openUploads);
});

test("a server that does not read stops the writer: memory stays bounded", async () => {
  proxy.plan({ kind: "deaf", method: "PUT", times: 99 });
  const writer = await storage.openWriter("a");
  let taken = 0;
  const writing = (async (): Promise<void> => {
    for (; taken < 200 * MIB; taken += MIB) await writer.write(Buffer.alloc(MIB));
  })();
  writing.catch(() => undefined);
  let before = -1;
  while (before < taken || taken <= 8 * MIB) {
    before = taken;
    await delay(300);
  }
  expect(taken).toBeGreaterThan(8 * MIB);
  expect(taken).toBeLessThan(UNSENT_BYTES_MAX);
  proxy.plan();
  await writer.abort();
  await expect(writing).rejects.toMatchObject({ code: "storage_failed" });
  expect(bench.server.bucket.openUploads()).toBe(openUploads);
});
