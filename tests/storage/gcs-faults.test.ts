// gs: through a network that breaks: what passes is survived and counted, what does not is said, and nothing is left behind.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import type { OperationContext } from "../../src/operations/operation.ts";
import { runStorageTest } from "../../src/operations/storage-test/index.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Retry, Storage } from "../../src/storage/index.ts";
import { until } from "../faults/support.ts";
import { namesIn, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";
import { gcsUriAt, openGcsBench, PASS, saying } from "./gcs-support.ts";
import type { GcsBench } from "./gcs-support.ts";
import { meetingOnce, notedRetries, replacingInVain, SHORT_STALL_MS, STALL_MS } from "./passing-faults.ts";

const IF_ABSENT = { ifAbsent: true } as const;

let bench: GcsBench;
let proxy: FaultProxy;
let storage: Storage;
let keys: Record<string, string> = {};
let retries: Retry[] = [];
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
  retries = [];
  storage = await openAt();
  openUploads = bench.server.bucket.openUploads();
  proxy.plan();
});

async function openAt(endpoint = proxy.endpoint, stallTimeoutMs = STALL_MS): Promise<Storage> {
  return await openStorage(gcsUriAt(endpoint, place), {
    environment: keys,
    retries: notedRetries(retries, stallTimeoutMs),
  });
}

const PASSING: readonly (readonly [string, (method: string) => PlannedFault])[] = [
  ["a reset", (method) => ({ kind: "reset", method })],
  ["a lost answer", (method) => ({ kind: "lose-answer", method })],
  ["500 backendError", (method) => ({ ...saying(500, "backendError"), method })],
  ["503", (method) => ({ ...saying(503, ""), method })],
  ["429 rateLimitExceeded", (method) => ({ ...saying(429, "rateLimitExceeded"), method })],
  ["403 userRateLimitExceeded", (method) => ({ ...saying(403, "userRateLimitExceeded"), method })],
  ["502 of a proxy", (method) => ({ kind: "status", status: 502, method })],
  ["408", (method) => ({ kind: "status", status: 408, method })],
  ["no answer", (method) => ({ kind: "deaf", method })],
];

test.each(PASSING)("every call survives %s, sent again and counted", async (_, fault) => {
  const isSilent = fault("GET").kind === "deaf";
  if (isSilent) storage = await openAt(proxy.endpoint, SHORT_STALL_MS);
  const once = async (method: string, work: () => Promise<unknown>): Promise<void> =>
    await meetingOnce({ storage, proxy, fault }, method, work);
  const bytes = randomBytes(1000);
  await once("POST", async () => await storage.put("a", bytes, IF_ABSENT));
  await once("GET", async () => expect(await storage.head("a")).toEqual({ name: "a", sizeBytes: 1000 }));
  await once("GET", async () => expect(Buffer.compare(await storage.read("a"), bytes)).toBe(0));
  await once("GET", async () => expect(await namesIn(storage)).toEqual(["a"]));
  await once("DELETE", async () => await storage.delete("a"));
  expect(await namesIn(storage)).toEqual([]);
  expect(retries.length).toBe(storage.retryCount);
  expect(retries[0]).toMatchObject({ attempt: 1, attemptsMax: 5, message: expect.stringContaining('"a"') as string });
});

test("a conditional write whose answer was lost is told from one that came too late", async () => {
  for (const kind of ["lose-answer", "twice"] as const) {
    proxy.plan({ kind, method: "POST" });
    await storage.put(kind, Buffer.from("1"), IF_ABSENT);
  }
  await using other = await openAt(bench.server.endpoint);
  await other.put("theirs", Buffer.from("2"));
  proxy.plan({ kind: "reset", method: "POST" });
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
  if (isSilent) storage = await openAt(proxy.endpoint, SHORT_STALL_MS);
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
});

test("a list whose answer breaks off, or is no JSON, is asked for again", async () => {
  await storage.put("a", Buffer.from("1"));
  proxy.plan({ kind: "short-length", method: "GET", bytes: 20 }, { kind: "status", status: 200, method: "GET" });
  expect(await namesIn(storage)).toEqual(["a"]);
  expect(storage.retryCount).toBe(2);
});

test("a part is not taken for the whole", async () => {
  let asked = 0;
  const server = createServer((_, answer) => {
    asked += 1;
    answer.writeHead(206, { "content-range": "bytes 0-0/2", "content-length": "1" }).end("1");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await using partial = await openStorage(`gs://bucket/x?endpoint=http://127.0.0.1:${port}&credentials=none`, {
    environment: {},
    retries: { policy: { firstDelayMs: 1, delayMsMax: 5, attemptsMax: 2 } },
  });
  await expect(partial.read("a")).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining("a part of what was asked for") as string,
  });
  expect(asked).toBe(2);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test("a storage that asks to be left alone for a while is", async () => {
  for (const [seconds, delayMs] of [
    ["1", 1000],
    ["soon", 5],
  ] as const) {
    const server = createServer((_, answer) => answer.writeHead(429, { "retry-after": seconds }).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const delays: number[] = [];
    await using asked = await openStorage(`gs://bucket/x?endpoint=http://127.0.0.1:${port}&credentials=none`, {
      environment: {},
      retries: {
        policy: { firstDelayMs: 1, delayMsMax: 5, attemptsMax: 2 },
        sleep: async (ms) => await Promise.resolve(void delays.push(ms)),
      },
    });
    await expect(asked.read("a")).rejects.toMatchObject({ code: "storage_failed", retryable: true });
    await expect(asked.put("a", Buffer.from("1"))).rejects.toMatchObject({ code: "storage_failed", retryable: true });
    if (delayMs === 1000) expect(delays.slice(0, 2)).toEqual([1000, 1000]);
    else expect(Math.max(...delays)).toBeLessThanOrEqual(delayMs);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("what was made although every answer was lost is removed, as the call has failed", async () => {
  proxy.plan({ kind: "lose-answer", method: "POST", times: 99 });
  await expect(storage.put("small", Buffer.from("1"), IF_ABSENT)).rejects.toMatchObject({ code: "storage_failed" });
  proxy.plan({ ...PASS, method: "PUT" }, { kind: "lose-answer", method: "PUT", times: 99 });
  const writer = await storage.openWriter("large", IF_ABSENT);
  await expect(stream(writer, randomBytes(9 * MIB), MIB)).rejects.toMatchObject({ code: "storage_failed" });
  expect(await namesIn(storage)).toEqual([]);
});

test("what may have replaced another stays, although every answer was lost", async () => {
  await replacingInVain({ storage, proxy }, { method: "POST" }, async (name, bytes) => await storage.put(name, bytes));
  const inPieces = async (name: string, bytes: Uint8Array): Promise<unknown> =>
    await stream(await storage.openWriter(name), bytes, MIB);
  await replacingInVain({ storage, proxy }, { method: "PUT", before: [{ ...PASS, method: "PUT" }] }, inPieces);
});

test("what replaced ours before it could be removed stays", async () => {
  proxy.plan({ kind: "lose-answer", method: "POST", times: 5 }, { kind: "slow", ms: 500, method: "GET" });
  const failing = storage.put("a", Buffer.from("ours"), IF_ABSENT);
  failing.catch(() => undefined);
  await until("it was looked for", async () => await Promise.resolve(proxy.unmet() === 0));
  await delay(100);
  await using other = await openAt(bench.server.endpoint);
  await other.put("a", Buffer.from("theirs"));
  await expect(failing).rejects.toMatchObject({ code: "storage_failed" });
  expect(proxy.seen.filter((request) => request.startsWith("DELETE"))).toHaveLength(1);
  expect(Buffer.from(await storage.read("a")).toString()).toBe("theirs");
});

test.each([
  [401, "authError", "permission_denied", "the credentials are not valid"],
  [403, "forbidden", "permission_denied", "planned"],
  [403, "insufficientPermissions", "permission_denied", "may not be used for Cloud Storage"],
  [403, "retentionPolicyNotMet", "permission_denied", "planned"],
  [403, "accountDisabled", "permission_denied", "planned"],
  [400, "userProjectMissing", "usage", "planned"],
  [302, "", "storage_failed", "planned"],
  [507, "", "no_space", "planned"],
] as const)("%d %s fails at once, with a cure", async (status, reason, code, words) => {
  proxy.plan({ ...saying(status, reason), method: "POST", times: 99 });
  await expect(storage.put("a", Buffer.from("1"))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(words) as string,
    hint: expect.stringMatching(/\w+/) as string,
  });
  expect(proxy.seen).toHaveLength(1);
});

test.each([
  ["another size", { size: "3" }, "corrupt", "has 3 bytes after writing, not"],
  ["another checksum", { md5Hash: "AAAA" }, "corrupt", "has another checksum"],
  ["no checksum", { md5Hash: "" }, "storage_failed", "does not say its checksum"],
  ["no size", { size: "many" }, "storage_failed", "does not say its size"],
] as const)("an object of which the storage says %s does not stay if it is new", async (_, lies, code, words) => {
  const refused = { code, message: expect.stringContaining(words) as string };
  bench.server.bucket.lies = lies;
  try {
    await expect(storage.put("small", Buffer.from("whole"), IF_ABSENT)).rejects.toMatchObject(refused);
    const large = await storage.openWriter("large", IF_ABSENT);
    await expect(stream(large, randomBytes(9 * MIB), MIB)).rejects.toMatchObject(refused);
    await expect(storage.put("may-be-old", Buffer.from("whole"))).rejects.toMatchObject(refused);
  } finally {
    bench.server.bucket.lies = {};
  }
  const left = [...bench.server.bucket.objects.keys()].filter((name) => name.startsWith(place));
  expect(left).toEqual([`${place}/may-be-old`]);
});

describe("cairn storage test", () => {
  async function runTest(environment: Record<string, string>, isReadOnly: boolean) {
    const location = {
      location: gcsUriAt(proxy.endpoint, place),
      storage: { environment, signal: new AbortController().signal, onRetry: () => undefined },
    };
    return await runStorageTest(quietContext(), { location, isReadOnly });
  }

  test("finds a good storage fit, and leaves nothing behind", async () => {
    const report = await runTest(keys, false);
    expect(report, JSON.stringify(report)).toMatchObject({ isFit: true });
    expect(await namesIn(storage)).toEqual([]);
    expect(bench.server.bucket.openUploads()).toBe(openUploads);
    proxy.plan();
    expect(await runTest(await bench.keys("reader"), true)).toMatchObject({ isFit: true });
    expect(proxy.seen.filter((request) => /^(PUT|POST|DELETE)/.test(request))).toEqual([]);
  });

  test("names the rights that are missing, and tries what does not depend on them", async () => {
    const { checks, isFit } = await runTest(await bench.keys("reader"), false);
    expect(isFit).toBe(false);
    expect(checks.filter(({ status }) => status === "ok").map(({ name }) => name)).toEqual([
      "list names",
      "read, and be told what is not there",
    ]);
    expect(checks[2]?.message).toContain("storage.objects.create");
    expect(checks[2]?.hint).toBe("Allow it: writing.");
  });
});

test("an address where nobody answers is tried three times", async () => {
  await using nowhere = await openAt("http://127.0.0.1:9");
  await expect(nowhere.read("a")).rejects.toMatchObject({
    code: "connection_failed",
    detail: expect.stringContaining("tried 3 times") as string,
  });
  expect(retries).toHaveLength(2);
});

test("a bucket that is not there is named", async () => {
  const uri = gcsUriAt(proxy.endpoint, place).replace("cairn-tests", "no-such-bucket");
  await using nowhere = await openStorage(uri, { environment: keys });
  const missing = {
    code: "storage_failed",
    message: expect.stringContaining('there is no bucket "no-such-bucket" at http://127.0.0.1') as string,
  };
  await expect(nowhere.read("a")).rejects.toMatchObject(missing);
  await expect(nowhere.head("a")).rejects.toMatchObject(missing);
  await expect(namesIn(nowhere)).rejects.toMatchObject(missing);
  await expect(nowhere.put("a", Buffer.from("1"))).rejects.toMatchObject(missing);
  await expect(nowhere.delete("a")).rejects.toMatchObject(missing);
});

function quietContext(): OperationContext {
  const { signal } = new AbortController();
  return { signal, environment: {}, homeDirectory: "/nonexistent", userName: "nobody", onEvent: () => undefined };
}
