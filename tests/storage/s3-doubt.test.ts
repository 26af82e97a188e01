// S3 where it is in doubt whose object it is, or whether it is there yet: proxies that send a request twice, servers that
// drop metadata, answers that take their time, and rights that are missing.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { createRepository } from "../../src/repository/index.ts";
import { renderCheck } from "../../src/cli/output/check.ts";
import { runCheck } from "../../src/operations/check/index.ts";
import { runList } from "../../src/operations/list/index.ts";
import type { OperationContext, OperationEvent } from "../../src/operations/operation.ts";
import { runStorageTest } from "../../src/operations/storage-test/index.ts";
import type { StorageTestReport, StorageTestSettings } from "../../src/operations/storage-test/index.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import type { ObjectWriter, Storage } from "../../src/storage/index.ts";
import { until } from "../faults/support.ts";
import { collect, namesIn, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { s3Servers, uriAt } from "./s3-servers.ts";
import type { S3Server } from "./s3-servers.ts";

const SHORT_STALL_MS = 1500;
const NO_METADATA = { kind: "no-metadata", method: "HEAD", times: 99 } as const;
const IF_ABSENT = { ifAbsent: true } as const;

describe.each(s3Servers())("s3 on $name in doubt", ({ start }) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let storage: Storage;
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
    storage = await openAt();
    proxy.plan();
  });

  async function openAt(settings: Record<string, string> = {}, stallTimeoutMs = 20_000): Promise<Storage> {
    return await openStorage(uriAt(proxy.endpoint, place, settings), {
      environment: server.keys,
      retries: { policy: { firstDelayMs: 20, delayMsMax: 100, stallTimeoutMs, attemptsMax: 5 } },
    });
  }

  function access(): StorageTestSettings["location"] {
    const storage = { environment: server.keys, signal: new AbortController().signal, onRetry: () => undefined };
    return { location: uriAt(proxy.endpoint, place), storage };
  }

  async function runTest(signal = new AbortController().signal): Promise<StorageTestReport> {
    return await runStorageTest(contextOf(signal), { location: access(), isReadOnly: false });
  }

  test("a write that a proxy sent twice is ours, whole and in parts", async () => {
    proxy.plan({ kind: "twice", method: "PUT" });
    expect(await storage.put("small", Buffer.from("1"), IF_ABSENT)).toEqual({ name: "small", sizeBytes: 1 });
    const bytes = randomBytes(9 * MIB);
    // What the second of two such requests is answered, depends on the server.
    for (const [status, code] of [
      [412, "PreconditionFailed"],
      [404, "NoSuchUpload"],
    ] as const) {
      proxy.plan({ kind: "done-but", status, code, method: "POST", url: "uploadId=" });
      await stream(await storage.openWriter(`large-${status}`, IF_ABSENT), bytes, MIB);
      expect(proxy.unmet()).toBe(0);
    }
    expect(storage.retryCount).toBe(0);
    expect(await namesIn(storage)).toEqual(["large-404", "large-412", "small"]);
  });

  test("where metadata is dropped, a small object is known by its bytes", async () => {
    proxy.plan({ kind: "twice", method: "PUT" }, NO_METADATA);
    await storage.put("ours", Buffer.from("ours"), IF_ABSENT);
    proxy.plan({ kind: "lose-answer", method: "PUT" }, NO_METADATA);
    await storage.put("ours-again", Buffer.from("ours"), IF_ABSENT);
    for (const bytes of ["urso", "longer"]) {
      proxy.plan(NO_METADATA);
      await expect(storage.put("ours", Buffer.from(bytes), IF_ABSENT)).rejects.toMatchObject({
        code: "repository_exists",
      });
    }
    expect(Buffer.from(await storage.read("ours")).toString()).toBe("ours");
  });

  test("a storage that drops metadata is refused by init, and named by cairn storage test", async () => {
    const lost = { code: "storage_failed", message: expect.stringContaining("has lost the mark") as string };
    proxy.plan(NO_METADATA);
    await expect(refuseUnconditionalStorage(storage)).rejects.toMatchObject(lost);
    await expect(createRepository(storage, { encryption: { kind: "none" } })).rejects.toMatchObject(lost);
    const { checks, isFit } = await runTest();
    expect(isFit).toBe(false);
    expect(checks.filter(({ status }) => status !== "ok")).toMatchObject([
      {
        name: "keep the mark that tells whose object it is",
        status: "failed",
        hint: expect.stringContaining("x-amz-meta-") as string,
      },
    ]);
    proxy.plan();
    expect(await namesIn(storage)).toEqual([]);
  });

  test("with conditional-put=off, an object without its mark is a failure", async () => {
    await using careful = await openAt({ "conditional-put": "off" });
    await careful.put("marked", Buffer.from("1"), IF_ABSENT);
    proxy.plan(NO_METADATA);
    await expect(careful.put("unmarked", Buffer.from("1"), IF_ABSENT)).rejects.toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("has lost the mark") as string,
    });
  });

  test("putting the parts together may take longer than silence may last", async () => {
    await using impatient = await openAt({}, SHORT_STALL_MS);
    proxy.plan({ kind: "slow", method: "POST", url: "uploadId=", ms: 3 * SHORT_STALL_MS });
    await stream(await impatient.openWriter("large", IF_ABSENT), randomBytes(9 * MIB), MIB);
    expect(proxy.unmet()).toBe(0);
    expect(impatient.retryCount).toBe(0);
  });

  test("an upload that is gone before its object shows is looked for again, and in the end given up", async () => {
    const late = { kind: "status", status: 404, code: "NoSuchUpload", method: "POST", url: "uploadId=" } as const;
    const notYet = { kind: "status", status: 404, method: "HEAD", times: 2 } as const;
    proxy.plan({ kind: "lose-answer", method: "POST", url: "uploadId=" }, { ...late, times: 3 }, notYet);
    await stream(await storage.openWriter("large", IF_ABSENT), randomBytes(9 * MIB), MIB);
    expect(proxy.unmet()).toBe(0);
    proxy.plan({ ...late, times: 99 });
    await expect(stream(await storage.openWriter("gone"), randomBytes(9 * MIB), MIB)).rejects.toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("no longer knows the upload") as string,
    });
    proxy.plan();
    expect(await namesIn(storage)).toEqual(["large"]);
  });

  test.each([
    ["gives up", async (ours: ObjectWriter) => await ours.abort()],
    ["is done", async (ours: ObjectWriter) => void (await ours.finish())],
  ])("a writer whose beginning was answered to nobody %s: another one of the same object goes on", async (_, end) => {
    const bytes = randomBytes(9 * MIB);
    const begins = (): number => proxy.seen.filter((request) => /^POST .*\?uploads/.test(request)).length;
    await using theirs = await storage.openWriter("pack", IF_ABSENT);
    await theirs.write(Uint8Array.from(bytes));
    await until("theirs has begun", async () => await Promise.resolve(begins() === 1));
    proxy.plan({ kind: "lose-answer", method: "POST", url: "?uploads" });
    await using ours = await storage.openWriter("pack", IF_ABSENT);
    await ours.write(Uint8Array.from(bytes));
    await until("ours has begun twice", async () => await Promise.resolve(begins() === 2));
    await end(ours);
    const failure = await theirs.finish().then(() => null, (error: unknown) => error); // prettier-ignore
    if (failure !== null) expect(failure).toMatchObject({ code: "repository_exists" });
    expect(Buffer.compare(await storage.read("pack"), bytes)).toBe(0);
  });

  test("an upload that is given up before its beginning is answered does not stay", async () => {
    proxy.plan({ kind: "slow", method: "POST", url: "?uploads", ms: 500 });
    const writer = await storage.openWriter("large", IF_ABSENT);
    await writer.write(randomBytes(9 * MIB));
    await until("it was sent", async () => await Promise.resolve(proxy.unmet() === 0));
    await writer.abort();
    expect(proxy.seen.filter((request) => request.startsWith("DELETE"))).toHaveLength(1);
    expect(await collect(storage.leftovers())).toEqual([]);
  });

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

  test("who may not list uploads is told so; list and check say that they were not looked at", async () => {
    await createRepository(storage, { encryption: { kind: "none" } });
    proxy.plan({ kind: "status", status: 403, code: "AccessDenied", method: "GET", url: "uploads", times: 99 });
    await expect(collect(storage.leftovers())).rejects.toMatchObject({ code: "permission_denied" });
    const repository = {
      ...access(),
      givenPassphrase: null,
      askPassphrase: async () => await Promise.reject(new Error()),
    };
    const notices: OperationEvent[] = [];
    const context = {
      ...contextOf(new AbortController().signal),
      onEvent: (event: OperationEvent) => void notices.push(event),
    };
    expect((await runList(context, { repository, lineage: null })).leftovers).toEqual([]);
    expect(JSON.stringify(notices)).toContain("unfinished uploads were not looked at");
    const report = await runCheck(context, { repository, readFraction: 0 });
    expect(report.unfinishedCount).toBe(null);
    expect(renderCheck(report)).toContain("not looked at");
    const { checks } = await runTest();
    expect(checks.find(({ status }) => status !== "ok")).toMatchObject({
      name: "abort an upload, and leave nothing",
      hint: expect.stringContaining("s3:ListBucketMultipartUploads") as string,
    });
  });

  test("cairn storage test removes what a cancelled check wrote", async () => {
    const cancel = new AbortController();
    proxy.plan({ kind: "deaf", method: "GET", url: "/small" });
    const running = runTest(cancel.signal);
    running.catch(() => undefined);
    await until("its first object is being read", async () => await Promise.resolve(proxy.unmet() === 0));
    cancel.abort(new Error("cancelled"));
    await expect(running).rejects.toThrow("cancelled");
    expect(await namesIn(storage)).toEqual([]);
  });
});

function contextOf(signal: AbortSignal): OperationContext {
  return { signal, environment: {}, homeDirectory: "/nonexistent", userName: "nobody", onEvent: () => undefined };
}
