// Azure through a network that breaks: what passes is survived and counted, what does not is said, and nothing is left behind.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import type { Retry, Storage } from "../../src/storage/index.ts";
import { until } from "../faults/support.ts";
import { KEY, KEYS, signatureFor, startAzurite, surroundingsOf, uriAt } from "./azure-servers.ts";
import type { AzureServer } from "./azure-servers.ts";
import { collect, namesIn, sha256, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";
import { meetingOnce, notedRetries, replacingInVain, SHORT_STALL_MS, STALL_MS } from "./passing-faults.ts";

/** Blocks on their way, one being filled, and what the sockets hold. */
const UNSENT_BYTES_MAX = 48 * MIB;
const IF_ABSENT = { ifAbsent: true } as const;
/** In the URLs of uploads in blocks: their announcement and all blocks, the second block alone, their end. */
const ANY_BLOCK = "comp=block&";
const SECOND_BLOCK = "Mg%3D%3D";
const COMMIT = "comp=blocklist";

let server: AzureServer;
let proxy: FaultProxy;
let storage: Storage;
let retries: Retry[] = [];
let place = "";
beforeAll(async () => {
  server = await startAzurite();
  proxy = await openFaultProxy(server.endpoint);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = randomBytes(6).toString("hex");
  retries = [];
  storage = await openAt();
  proxy.plan();
});

/** The account behind the proxy. */
const endpoint = (): string => `${proxy.endpoint}${new URL(server.endpoint).pathname}`;

async function openAt(keys: Readonly<Record<string, string>> = KEYS, stallTimeoutMs = STALL_MS): Promise<Storage> {
  return await openStorage(uriAt(endpoint(), place), {
    environment: keys,
    retries: notedRetries(retries, stallTimeoutMs),
  });
}

const PASSING: readonly (readonly [string, (method: string) => PlannedFault])[] = [
  ["a reset", (method) => ({ kind: "reset", method })],
  ["a lost answer", (method) => ({ kind: "lose-answer", method })],
  ["500 InternalError", (method) => ({ kind: "status", status: 500, code: "InternalError", method })],
  ["503 ServerBusy", (method) => ({ kind: "status", status: 503, code: "ServerBusy", method })],
  ["502 of a proxy", (method) => ({ kind: "status", status: 502, method })],
  ["429", (method) => ({ kind: "status", status: 429, method })],
  ["no answer", (method) => ({ kind: "deaf", method })],
];

test.each(PASSING)("every call survives %s, sent again and counted", async (_, fault) => {
  const isSilent = fault("GET").kind === "deaf";
  if (isSilent) storage = await openAt(KEYS, SHORT_STALL_MS);
  const once = async (method: string, work: () => Promise<unknown>): Promise<void> =>
    await meetingOnce({ storage, proxy, fault }, method, work);
  const bytes = randomBytes(1000);
  await once("PUT", async () => await storage.put("a", bytes, IF_ABSENT));
  await once("HEAD", async () => expect(await storage.head("a")).toEqual({ name: "a", sizeBytes: 1000 }));
  await once("GET", async () => expect(Buffer.compare(await storage.read("a"), bytes)).toBe(0));
  await once("GET", async () => expect(await namesIn(storage)).toEqual(["a"]));
  await once("DELETE", async () => await storage.delete("a"));
  expect(await namesIn(storage)).toEqual([]);
  expect(retries.length).toBe(storage.retryCount);
  expect(retries[0]).toMatchObject({ attempt: 1, attemptsMax: 5, message: expect.stringContaining('"a"') as string });
});

test.each([PASSING[0]!, PASSING[1]!, PASSING[3]!])(
  "an upload in blocks survives %s at each of its requests",
  async (_, fault) => {
    const bytes = randomBytes(9 * MIB);
    for (const [index, url] of [ANY_BLOCK, SECOND_BLOCK, COMMIT].entries()) {
      const name = `upload-${index}`;
      proxy.plan({ ...fault("PUT"), url });
      const writer = await storage.openWriter(name, IF_ABSENT);
      expect(await stream(writer, bytes, 3 * MIB)).toEqual({ name, sizeBytes: bytes.length });
      expect(proxy.unmet(), url).toBe(0);
      expect(sha256(await storage.read(name)).equals(sha256(bytes))).toBe(true);
    }
    expect(storage.retryCount).toBe(3);
    expect(await collect(storage.leftovers())).toEqual([]);
  },
);

test("what cannot be confirmed does not stay, but for what replaced another", async () => {
  const unconfirmed = { kind: "status", status: 503, method: "HEAD", times: 5 } as const;
  const failed = { code: "storage_failed", retryable: true };
  proxy.plan(unconfirmed);
  await expect(storage.put("put", Buffer.from("1"), IF_ABSENT)).rejects.toMatchObject(failed);
  proxy.plan(unconfirmed);
  await expect(stream(await storage.openWriter("w", IF_ABSENT), Buffer.from("1"), 1)).rejects.toMatchObject(failed);
  expect(await namesIn(storage)).toEqual([]);
  proxy.plan(unconfirmed);
  await expect(storage.put("put", Buffer.from("1"))).rejects.toMatchObject(failed);
  expect(await namesIn(storage)).toEqual(["put"]);
});

test("bytes that are others when they arrive are refused by the server, and sent again", async () => {
  const bytes = randomBytes(9 * MIB);
  proxy.plan({ kind: "flip", method: "PUT" });
  await storage.put("small", bytes.subarray(0, 1000), IF_ABSENT);
  proxy.plan({ kind: "flip", method: "PUT", url: SECOND_BLOCK });
  await stream(await storage.openWriter("large", IF_ABSENT), bytes, MIB);
  expect([proxy.unmet(), storage.retryCount]).toEqual([0, 2]);
  expect(sha256(await storage.read("large")).equals(sha256(bytes))).toBe(true);
  expect(Buffer.compare(await storage.read("small"), bytes.subarray(0, 1000))).toBe(0);
});

test("a write whose answer was lost, or that a proxy sent twice, is told from one that came too late", async () => {
  proxy.plan({ kind: "lose-answer", method: "PUT" });
  await storage.put("mine", Buffer.from("1"), IF_ABSENT);
  proxy.plan({ kind: "twice", method: "PUT" });
  await storage.put("mine-twice", Buffer.from("1"), IF_ABSENT);
  const bytes = randomBytes(9 * MIB);
  proxy.plan({ kind: "twice", method: "PUT", url: COMMIT });
  await stream(await storage.openWriter("large", IF_ABSENT), bytes, MIB);
  proxy.plan({ kind: "done-but", status: 400, code: "InvalidBlockList", method: "PUT", url: COMMIT });
  await stream(await storage.openWriter("large-too", IF_ABSENT), bytes, MIB);
  expect(proxy.unmet()).toBe(0);
  await using other = await openAt();
  await other.put("theirs", Buffer.from("2"));
  proxy.plan({ kind: "reset", method: "PUT" });
  await expect(storage.put("theirs", Buffer.from("2"), IF_ABSENT)).rejects.toMatchObject({ code: "repository_exists" });
});

test.each([
  ["is cut off", { kind: "cut-body", method: "GET", bytes: 70_000 }],
  ["is shorter than it was said to be", { kind: "short-length", method: "GET", bytes: 70_000 }],
  ["stops moving", { kind: "stall-body", method: "GET", bytes: 70_000 }],
] as const)("reads again when a body %s", async (_, fault) => {
  const bytes = randomBytes(300_000);
  await storage.put("a", bytes);
  const isSilent = fault.kind === "stall-body";
  if (isSilent) storage = await openAt(KEYS, SHORT_STALL_MS);
  const range = { offset: 1000, lengthBytes: 200_000 };
  proxy.plan({ ...fault, times: 2 });
  expect(Buffer.compare(await storage.read("a", range), bytes.subarray(1000, 201_000))).toBe(0);
  expect(proxy.unmet()).toBe(0);
  expect(storage.retryCount).toBeGreaterThanOrEqual(2);
  proxy.plan({ ...fault, times: 9 });
  await expect(storage.read("a", range)).rejects.toMatchObject({
    code: isSilent ? "stalled" : "storage_failed",
    detail: expect.stringContaining("tried 5 times") as string,
  });
  // No request that is not counted.
  expect(proxy.seen).toHaveLength(5);
  proxy.plan();
});

test("gives up what stays broken after so many tries, and leaves no block behind", async () => {
  proxy.plan({ kind: "status", status: 503, code: "ServerBusy", method: "PUT", url: SECOND_BLOCK, times: 99 });
  const writer = await storage.openWriter("a");
  await expect(stream(writer, randomBytes(30 * MIB), MIB)).rejects.toMatchObject({
    code: "storage_failed",
    retryable: true,
  });
  await writer.abort();
  proxy.plan();
  expect(await namesIn(storage)).toEqual([]);
  expect(await collect(storage.leftovers())).toEqual([]);
});

test("what was made although every answer was lost is removed, as the call has failed", async () => {
  proxy.plan({ kind: "lose-answer", method: "PUT", times: 99 });
  await expect(storage.put("small", Buffer.from("1"), IF_ABSENT)).rejects.toMatchObject({ code: "storage_failed" });
  proxy.plan({ kind: "lose-answer", method: "PUT", url: COMMIT, times: 5 });
  const writer = await storage.openWriter("large", IF_ABSENT);
  await expect(stream(writer, randomBytes(9 * MIB), MIB)).rejects.toMatchObject({ code: "storage_failed" });
  expect(proxy.unmet()).toBe(0);
  expect(await namesIn(storage)).toEqual([]);
  expect(await collect(storage.leftovers())).toEqual([]);
});

test("what may have replaced another stays, although every answer was lost", async () => {
  await replacingInVain({ storage, proxy }, { method: "PUT" }, async (name, bytes) => await storage.put(name, bytes));
  const inBlocks = async (name: string, bytes: Uint8Array): Promise<unknown> =>
    await stream(await storage.openWriter(name), bytes, MIB);
  await replacingInVain({ storage, proxy }, { method: "PUT", url: COMMIT }, inBlocks);
});

test("a server that does not read stops the writer: memory stays bounded", async () => {
  proxy.plan({ kind: "deaf", method: "PUT", url: "Mw%3D%3D", times: 99 }, { kind: "deaf", method: "PUT", url: SECOND_BLOCK, times: 99 }, { kind: "deaf", method: "PUT", url: "MQ%3D%3D", times: 99 }); // prettier-ignore
  const slow = await openStorage(uriAt(endpoint(), place), surroundingsOf(KEYS));
  const writer = await slow.openWriter("a");
  let taken = 0;
  const writing = (async (): Promise<void> => {
    for (; taken < 200 * MIB; taken += MIB) await writer.write(Buffer.alloc(MIB));
  })();
  writing.catch(() => undefined);
  let before = -1;
  while (before < taken || taken <= 8 * MIB) {
    before = taken;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  expect(taken).toBeGreaterThan(8 * MIB);
  expect(taken).toBeLessThan(UNSENT_BYTES_MAX);
  await writer.abort();
  await expect(writing).rejects.toMatchObject({ code: "storage_failed" });
  proxy.plan();
  expect(await collect(storage.leftovers())).toEqual([]);
});

test.each([
  [403, "AuthenticationFailed", "permission_denied", "credentials were refused"],
  [403, "AuthorizationPermissionMismatch", "permission_denied", "AuthorizationPermissionMismatch"],
  [403, "KeyBasedAuthenticationNotPermitted", "permission_denied", "takes no keys"],
  [404, "ContainerNotFound", "storage_failed", 'no container "cairn-tests"'],
  [409, "ContainerBeingDeleted", "storage_failed", "is being deleted"],
  [409, "BlobImmutableDueToPolicy", "permission_denied", "retention policy"],
  [412, "LeaseIdMissing", "permission_denied", "leased"],
  [400, "InvalidBlobOrBlock", "storage_failed", "another program"],
  [507, "InsufficientStorage", "no_space", "InsufficientStorage"],
  [404, undefined, "storage_failed", "not one of Azure"],
] as const)("%d %s fails at once, with a cure", async (status, code, expected, words) => {
  proxy.plan({ kind: "status", status, ...(code !== undefined && { code }), method: "PUT", times: 99 });
  await expect(storage.put("a", Buffer.from("1"))).rejects.toMatchObject({
    code: expected,
    message: expect.stringContaining(words) as string,
  });
  expect(proxy.seen).toHaveLength(1);
});

test("an answer to HEAD that is not the service's does not mean that nothing is there", async () => {
  proxy.plan({ kind: "status", status: 404, method: "HEAD" });
  await expect(storage.head("a")).rejects.toMatchObject({ code: "storage_failed" });
  expect(await storage.head("a")).toBe(null);
});

test.each([
  ["another size", { "content-length": "3" }, "has 3 bytes after writing, not 5"],
  ["another checksum", { "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==" }, "has another checksum"],
] as const)(
  "an object of which the storage says %s is corrupt, and removed if it is new",
  async (_, headers, words) => {
    for (const [name, ifAbsent] of [
      ["new", true],
      ["may-be-old", false],
    ] as const) {
      proxy.plan({ kind: "headers", method: "HEAD", headers });
      const writer = await storage.openWriter(name, { ifAbsent });
      await expect(stream(writer, Buffer.from("whole"), 5)).rejects.toMatchObject({
        code: "corrupt",
        message: expect.stringContaining(words) as string,
      });
    }
    expect(await namesIn(storage)).toEqual(["may-be-old"]);
  },
);

test("a storage that ignores conditions, or drops metadata, is refused", async () => {
  // Conditions are under the signature of a key: there the proxy cannot take them away.
  const open = await openAt({ AZURE_STORAGE_SAS_TOKEN: signatureFor("rcwdl") });
  await refuseUnconditionalStorage(open);
  proxy.plan({ kind: "unconditional", method: "PUT", times: 99 });
  await expect(refuseUnconditionalStorage(open)).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining("replaces an object") as string,
  });
  proxy.plan({ kind: "no-metadata", method: "HEAD", times: 99 });
  await expect(refuseUnconditionalStorage(open)).rejects.toMatchObject({
    message: expect.stringContaining("has lost the mark") as string,
  });
});

test("an address where nobody answers is tried three times", async () => {
  await using nowhere = await openStorage(uriAt("http://127.0.0.1:9/account", place), {
    environment: { AZURE_STORAGE_ACCOUNT: "account", AZURE_STORAGE_KEY: KEY },
    retries: { policy: { firstDelayMs: 1 }, onRetry: (retry) => retries.push(retry) },
  });
  await expect(nowhere.read("a")).rejects.toMatchObject({
    code: "connection_failed",
    detail: expect.stringContaining("tried 3 times") as string,
  });
  expect(retries).toHaveLength(2);
});

describe("what a broken abort leaves", () => {
  /** Leaves the empty blob that stands in the place of dropped blocks. */
  async function leaveDiscarded(name: string): Promise<void> {
    const writer = await storage.openWriter(name);
    await writer.write(Buffer.alloc(9 * MIB));
    proxy.plan({ kind: "status", status: 403, code: "AuthorizationPermissionMismatch", method: "DELETE", times: 99 });
    await writer.abort();
    proxy.plan();
  }

  test("is no object, does not stop another write, and is removed as a left-over", async () => {
    await leaveDiscarded("a");
    expect((await server.container.getBlobClient(`${place}/a`).getProperties()).contentLength).toBe(0);
    expect(await namesIn(storage)).toEqual([]);
    expect(await storage.head("a")).toBe(null);
    await expect(storage.read("a")).rejects.toMatchObject({ code: "not_found" });
    await expect(storage.read("a", { offset: 0, lengthBytes: 1 })).rejects.toMatchObject({ code: "not_found" });
    const [leftover, ...more] = await collect(storage.leftovers());
    expect([leftover, more]).toEqual([{ name: "a?discarded", sizeBytes: 0, isDead: true }, []]);
    await storage.deleteLeftover("a?discarded");
    expect(await collect(storage.leftovers())).toEqual([]);

    await leaveDiscarded("b");
    await storage.put("b", Buffer.from("1"), IF_ABSENT);
    await leaveDiscarded("c");
    await stream(await storage.openWriter("c", IF_ABSENT), randomBytes(9 * MIB), MIB);
    // It is an object now.
    await storage.deleteLeftover("c?discarded");
    expect(await namesIn(storage)).toEqual(["b", "c"]);
  });

  test("is not deleted with the object that somebody wrote in its place meanwhile", async () => {
    await leaveDiscarded("a");
    await using other = await openStorage(uriAt(server.endpoint, place), surroundingsOf(KEYS));
    proxy.plan({ kind: "slow", method: "HEAD", ms: 1500 });
    const deleting = storage.deleteLeftover("a?discarded");
    await until("it was looked at", () => proxy.unmet() === 0);
    await other.put("a", Buffer.from("1"));
    await deleting;
    expect(await namesIn(storage)).toEqual(["a"]);
  });

  test("does not harm an object that came under the name meanwhile", async () => {
    const writer = await storage.openWriter("a");
    await writer.write(Buffer.alloc(9 * MIB));
    await using other = await openAt();
    await other.put("a", Buffer.from("theirs"));
    await writer.abort();
    expect(Buffer.from(await storage.read("a")).toString()).toBe("theirs");
  });

  test("of two writers of one name, one that gives up does not take the other's blocks", async () => {
    const bytes = randomBytes(9 * MIB);
    const [one, other] = [await storage.openWriter("a", IF_ABSENT), await storage.openWriter("a", IF_ABSENT)];
    await one.write(bytes);
    await other.write(bytes);
    await one.abort();
    expect(await other.finish()).toEqual({ name: "a", sizeBytes: bytes.length });
    expect(sha256(await storage.read("a")).equals(sha256(bytes))).toBe(true);
  });
});
