// S3 through a network that breaks: what passes is survived and counted, what does not is said, and nothing is left behind.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import type { OperationContext } from "../../src/operations/operation.ts";
import { runStorageTest } from "../../src/operations/storage-test/index.ts";
import type { StorageTestReport } from "../../src/operations/storage-test/index.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import type { Retry, Storage } from "../../src/storage/index.ts";
import { collect, namesIn, sha256, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";
import { s3Servers, surroundingsOf, uriAt } from "./s3-servers.ts";
import type { S3Server } from "./s3-servers.ts";
import { meetingOnce, notedRetries, replacingInVain, SHORT_STALL_MS, STALL_MS } from "./passing-faults.ts";

/** A part on its way, the parts waiting behind it, one being filled, and what the sockets hold. */
const UNSENT_BYTES_MAX = 48 * MIB;
const IF_ABSENT = { ifAbsent: true } as const;

describe.each(s3Servers())("s3 on $name behind a bad network", ({ checksRights, start }) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let storage: Storage;
  let retries: Retry[] = [];
  let place = "";
  beforeAll(async () => {
    server = await start();
    proxy = await openFaultProxy(server.endpoint);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    place = randomBytes(6).toString("hex");
    retries = [];
    storage = await openAt(uriAt(proxy.endpoint, place));
    proxy.plan();
  });

  async function openAt(uri: string, stallTimeoutMs = STALL_MS): Promise<Storage> {
    return await openStorage(uri, {
      environment: server.keys,
      retries: notedRetries(retries, stallTimeoutMs),
    });
  }

  const PASSING: readonly (readonly [string, (method: string) => PlannedFault])[] = [
    ["a reset", (method) => ({ kind: "reset", method })],
    ["a lost answer", (method) => ({ kind: "lose-answer", method })],
    ["500 InternalError", (method) => ({ kind: "status", status: 500, code: "InternalError", method })],
    ["503 SlowDown", (method) => ({ kind: "status", status: 503, code: "SlowDown", method })],
    ["502 of a proxy", (method) => ({ kind: "status", status: 502, method })],
    ["400 RequestTimeout", (method) => ({ kind: "status", status: 400, code: "RequestTimeout", method })],
    ["no answer", (method) => ({ kind: "deaf", method })],
  ];

  test.each(PASSING)("every call survives %s, sent again and counted", async (_, fault) => {
    const isSilent = fault("GET").kind === "deaf";
    if (isSilent) storage = await openAt(uriAt(proxy.endpoint, place), SHORT_STALL_MS);
    const once = async (method: string, work: () => Promise<unknown>): Promise<void> =>
      await meetingOnce({ storage, proxy, fault }, method, work);
    const bytes = randomBytes(1000);
    await once("PUT", async () => await storage.put("a", bytes, { ifAbsent: true }));
    await once("HEAD", async () => expect(await storage.head("a")).toEqual({ name: "a", sizeBytes: 1000 }));
    await once("GET", async () => expect(Buffer.compare(await storage.read("a"), bytes)).toBe(0));
    await once("GET", async () => expect(await namesIn(storage)).toEqual(["a"]));
    await once("DELETE", async () => await storage.delete("a"));
    expect(await namesIn(storage)).toEqual([]);
    expect(retries.length).toBe(storage.retryCount);
    expect(retries[0]).toMatchObject({ attempt: 1, attemptsMax: 5, message: expect.stringContaining('"a"') as string });
  });

  test.each([PASSING[0]!, PASSING[1]!, PASSING[3]!])(
    "an upload in parts survives %s at each of its requests",
    async (_, fault) => {
      const bytes = randomBytes(9 * MIB);
      for (const [index, [method, url]] of [
        ["POST", "?uploads"],
        ["PUT", "partNumber=2"],
        ["POST", "uploadId="],
      ].entries()) {
        const name = `upload-${index}`;
        proxy.plan({ ...fault(method!), url: url! });
        const writer = await storage.openWriter(name, { ifAbsent: true });
        expect(await stream(writer, bytes, 3 * MIB)).toEqual({ name, sizeBytes: bytes.length });
        expect(proxy.unmet(), url).toBe(0);
        expect(sha256(await storage.read(name)).equals(sha256(bytes))).toBe(true);
      }
      expect(storage.retryCount).toBeGreaterThanOrEqual(3);
      // An upload whose id was lost stays, empty: it may as well be another writer's.
      const isIdLost = fault("POST").kind === "lose-answer";
      const forgotten = { name: expect.stringContaining("upload-0?") as string, sizeBytes: 0, isDead: false };
      expect(await collect(storage.leftovers())).toEqual(isIdLost ? [forgotten] : []);
    },
  );

  test("a conditional write whose answer was lost is told from one that came too late", async () => {
    proxy.plan({ kind: "lose-answer", method: "PUT" });
    await storage.put("mine", Buffer.from("1"), { ifAbsent: true });
    await using other = await openAt(uriAt(server.endpoint, place));
    await other.put("theirs", Buffer.from("2"));
    proxy.plan({ kind: "reset", method: "PUT" });
    await expect(storage.put("theirs", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject({
      code: "repository_exists",
    });
  });

  test.each([
    ["is cut off", { kind: "cut-body", method: "GET", bytes: 70_000 }],
    ["is shorter than it was said to be", { kind: "short-length", method: "GET", bytes: 70_000 }],
    ["stops moving", { kind: "stall-body", method: "GET", bytes: 70_000 }],
  ] as const)("reads again when a body %s", async (_, fault) => {
    const bytes = randomBytes(300_000);
    await storage.put("a", bytes);
    const isSilent = fault.kind === "stall-body";
    if (isSilent) storage = await openAt(uriAt(proxy.endpoint, place), SHORT_STALL_MS);
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
    proxy.plan();
  });

  test("gives up what stays broken after so many tries, and leaves no upload behind", async () => {
    proxy.plan({ kind: "status", status: 503, code: "SlowDown", method: "PUT", url: "partNumber=2", times: 99 });
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
    proxy.plan({ kind: "lose-answer", method: "POST", url: "uploadId=", times: 99 });
    const writer = await storage.openWriter("large", IF_ABSENT);
    await expect(stream(writer, randomBytes(9 * MIB), MIB)).rejects.toMatchObject({ code: "storage_failed" });
    expect(await namesIn(storage)).toEqual([]);
    expect(await collect(storage.leftovers())).toEqual([]);
  });

  test("what may have replaced another stays, although every answer was lost", async () => {
    await replacingInVain({ storage, proxy }, { method: "PUT" }, async (name, bytes) => await storage.put(name, bytes));
    const inParts = async (name: string, bytes: Uint8Array): Promise<unknown> =>
      await stream(await storage.openWriter(name), bytes, MIB);
    await replacingInVain({ storage, proxy }, { method: "POST", url: "uploadId=" }, inParts);
    expect(await collect(storage.leftovers())).toEqual([]);
    // Without conditions, somebody may have written it after the look.
    await using careful = await openAt(uriAt(proxy.endpoint, place, { "conditional-put": "off" }));
    proxy.plan({ kind: "lose-answer", method: "PUT", times: 99 });
    await expect(careful.put("looked-for", Buffer.from("1"), IF_ABSENT)).rejects.toMatchObject({
      code: "storage_failed",
    });
    expect(await namesIn(careful)).toEqual(["looked-for", "replaced"]);
  });

  test("a server that does not read stops the writer: memory stays bounded", async () => {
    proxy.plan({ kind: "deaf", method: "PUT", times: 99 });
    const slow = await openStorage(uriAt(proxy.endpoint, place), surroundingsOf(server.keys));
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
    expect(await collect(storage.leftovers())).toEqual([]);
  });

  test.each([
    [403, "InvalidAccessKeyId", "permission_denied", "does not know the access key"],
    [403, "SignatureDoesNotMatch", "permission_denied", "secret key is not that"],
    [403, "ExpiredToken", "permission_denied", "have expired"],
    [403, "AccessDenied", "permission_denied", "AccessDenied"],
    [404, "NoSuchBucket", "storage_failed", 'no bucket "cairn-tests"'],
    [301, "PermanentRedirect", "storage_failed", "PermanentRedirect"],
    [403, "QuotaExceeded", "no_space", "QuotaExceeded"],
    [507, "InsufficientStorage", "no_space", "InsufficientStorage"],
    [501, "NotImplemented", "storage_failed", "NotImplemented"],
  ] as const)("%d %s fails at once, with a cure", async (status, code, expected, words) => {
    proxy.plan({ kind: "status", status, code, method: "PUT", times: 99 });
    await expect(storage.put("a", Buffer.from("1"))).rejects.toMatchObject({
      code: expected,
      message: expect.stringContaining(words) as string,
      hint: expect.stringMatching(/\w+/) as string,
    });
    expect(proxy.seen).toHaveLength(1);
  });

  test("HEAD, whose answer has no body, has the reason asked for", async () => {
    proxy.plan({ kind: "status", status: 403, method: "HEAD" });
    expect(await storage.head("a")).toBe(null);
    await storage.put("there", Buffer.from("1"));
    proxy.plan({ kind: "status", status: 403, method: "HEAD" });
    expect(await storage.head("there")).toEqual({ name: "there", sizeBytes: 1 });
    proxy.plan(
      { kind: "status", status: 403, method: "HEAD" },
      { kind: "status", status: 403, code: "InvalidAccessKeyId", method: "GET" },
    );
    await expect(storage.head("a")).rejects.toMatchObject({
      message: expect.stringContaining("does not know the access key") as string,
    });
  });

  test.each([
    ["another size", { "content-length": "3" }, "has 3 bytes after writing, not 5"],
    ["another checksum", { "x-amz-checksum-sha256": "AAAA" }, "has another checksum"],
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
      proxy.plan({ kind: "status", status: 404, method: "HEAD" });
      await expect(storage.put("b", Buffer.from("1"))).rejects.toMatchObject({
        message: '"b" is not there after writing',
      });
    },
  );

  async function runTest(isReadOnly: boolean): Promise<StorageTestReport> {
    const location = {
      location: uriAt(proxy.endpoint, place),
      storage: { environment: server.keys, signal: new AbortController().signal, onRetry: () => undefined },
    };
    return await runStorageTest(quietContext(), { location, isReadOnly });
  }

  const conditionTests = (): void => {
    test("a storage in which the second write wins is refused, unless the URI says that it does", async () => {
      const unconditional = { kind: "unconditional", times: 99 } as const;
      const ignoring = [
        { ...unconditional, method: "PUT" },
        { ...unconditional, method: "POST" },
      ];
      proxy.plan(...ignoring);
      await expect(refuseUnconditionalStorage(storage)).rejects.toMatchObject({
        code: "storage_failed",
        hint: expect.stringContaining("conditional-put=off") as string,
      });
      await using careful = await openAt(uriAt(proxy.endpoint, place, { "conditional-put": "off" }));
      await refuseUnconditionalStorage(careful);
      expect(await namesIn(storage)).toEqual([]);
      await careful.put("a", Buffer.from("1"), { ifAbsent: true });
      await expect(
        stream(await careful.openWriter("a", { ifAbsent: true }), randomBytes(9 * MIB), MIB),
      ).rejects.toMatchObject({
        code: "repository_exists",
      });
      expect(Buffer.from(await storage.read("a")).toString()).toBe("1");
    });

    test("cairn storage test names a storage that ignores conditions", async () => {
      proxy.plan({ kind: "unconditional", method: "PUT", times: 99 });
      const { checks, isFit } = await runTest(false);
      expect(isFit).toBe(false);
      expect(checks.find(({ name }) => name.startsWith("create"))).toMatchObject({
        status: "failed",
        message: "the second write won",
      });
    });
  };
  // Conditions are under the signature, which Ceph checks: there the proxy cannot take them away.
  if (!checksRights) conditionTests();

  describe("cairn storage test", () => {
    const statuses = ({ checks }: StorageTestReport): string[] => checks.map(({ status }) => status);

    test("finds a good storage fit, and leaves nothing behind", async () => {
      const report = await runTest(false);
      expect(report, JSON.stringify(report)).toMatchObject({ isFit: true });
      expect(statuses(report)).toEqual(Array.from({ length: 10 }, () => "ok"));
      expect(await namesIn(storage)).toEqual([]);
      expect(await collect(storage.leftovers())).toEqual([]);
      proxy.plan();
      expect(await runTest(true)).toMatchObject({ isFit: true, checks: { length: 2 } });
      expect(proxy.seen.filter((request) => /^(PUT|POST|DELETE)/.test(request))).toEqual([]);
    });

    test("names the rights that are missing, and tries what does not depend on them", async () => {
      proxy.plan({ kind: "status", status: 403, code: "AccessDenied", method: "POST", times: 99 });
      const report = await runTest(false);
      expect(statuses(report)).toEqual(["ok", "ok", "ok", "ok", "ok", "ok", "failed", "not tried", "not tried", "ok"]);
      expect(report.isFit).toBe(false);
      expect(report.checks[6]?.hint).toContain("s3:AbortMultipartUpload");
      proxy.plan({ kind: "status", status: 403, code: "AccessDenied", method: "DELETE", times: 99 });
      expect(statuses(await runTest(false)).at(-1)).toBe("failed");
    });

    test("tries nothing more where all would fail for one reason", async () => {
      proxy.plan({ kind: "status", status: 403, code: "InvalidAccessKeyId", method: "GET", times: 99 });
      const { checks, isFit } = await runTest(false);
      expect([isFit, checks[0]?.status, checks[1]?.status]).toEqual([false, "failed", "not tried"]);
      expect(checks[0]?.message).toContain("does not know the access key");
      expect(proxy.seen).toHaveLength(1);
    });
  });

  test("an address where nobody answers is tried three times", async () => {
    await using nowhere = await openAt(uriAt("http://127.0.0.1:9", place));
    await expect(nowhere.read("a")).rejects.toMatchObject({
      code: "connection_failed",
      detail: expect.stringContaining("tried 3 times") as string,
    });
    expect(retries).toHaveLength(2);
  });

  test("takes keys from the URI's profile first, then from the environment, then from AWS_PROFILE", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cairn-aws-"));
    const before = { ...process.env };
    const file = join(folder, "credentials");
    const lines = (name: string): string => `[${name}]\naws_access_key_id = OF${name}\naws_secret_access_key = x\n`;
    await writeFile(file, lines("ONE") + lines("TWO"));
    Object.assign(process.env, { AWS_SHARED_CREDENTIALS_FILE: file, AWS_CONFIG_FILE: "/nonexistent" });
    const keyOf = async (environment: Record<string, string>, settings: Record<string, string>): Promise<string> => {
      await using opened = await openStorage(uriAt(proxy.endpoint, place, settings), { environment });
      proxy.plan({ kind: "status", status: 403, code: "AccessDenied", method: "GET" });
      await expect(opened.read("a")).rejects.toMatchObject({ code: "permission_denied" });
      return proxy.keys.join();
    };
    try {
      const keys = { AWS_ACCESS_KEY_ID: "OFENV", AWS_SECRET_ACCESS_KEY: "x", AWS_PROFILE: "ONE" };
      expect(await keyOf(keys, { profile: "TWO" })).toBe("OFTWO");
      expect(await keyOf(keys, {})).toBe("OFENV");
      expect(await keyOf({ AWS_PROFILE: "ONE" }, {})).toBe("OFONE");
    } finally {
      process.env = before;
      await rm(folder, { recursive: true });
    }
  });

  test("without credentials it says where they are looked for", async () => {
    const environment = { HOME: "/nonexistent" };
    const before = { ...process.env };
    Object.assign(process.env, {
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
      AWS_CONFIG_FILE: "/nonexistent",
    });
    try {
      await using storageWithout = await openStorage(uriAt(proxy.endpoint, place), { environment });
      await expect(storageWithout.read("a")).rejects.toMatchObject({
        code: "permission_denied",
        message: 'could not read "a": no credentials were found',
        hint: expect.stringContaining("AWS_ACCESS_KEY_ID") as string,
      });
    } finally {
      process.env = before;
    }
    expect(proxy.seen).toEqual([]);
  });
});

function quietContext(): OperationContext {
  const { signal } = new AbortController();
  return { signal, environment: {}, homeDirectory: "/nonexistent", userName: "nobody", onEvent: () => undefined };
}
