// WebDAV through a network that breaks: what passes is survived and counted, what does not is said, and nothing is left behind.

import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Retry, Storage } from "../../src/storage/index.ts";
import { collect, namesIn, sha256, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";
import { environmentOf, startApache, uriAt, USER } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";
import { forward, openSpoiler } from "./webdav-spoiler.ts";
import type { Spoil } from "./webdav-spoiler.ts";
import { meetingOnce, notedRetries, replacingInVain, SHORT_STALL_MS, STALL_MS } from "./passing-faults.ts";

/** What waits to be sent, one piece, and what the sockets hold. */
const UNSENT_BYTES_MAX = 32 * MIB;
/** Where data goes while it is written, and where it is announced. */
const DATA = "/.cairn-tmp/0000000000000000.";

let server: WebdavServer;
let proxy: FaultProxy;
let storage: Storage;
let retries: Retry[] = [];
let place = "";
beforeAll(async () => {
  server = await startApache();
  proxy = await openFaultProxy(`http://${server.host}`);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = randomBytes(6).toString("hex");
  retries = [];
  storage = await openAt(proxy.endpoint);
  proxy.plan();
});

async function openAt(address: string, stallTimeoutMs = STALL_MS): Promise<Storage> {
  return await openStorage(uriAt(address.replace("http://", ""), place), {
    environment: environmentOf(USER),
    retries: notedRetries(retries, stallTimeoutMs),
  });
}

/** What lies in the place, temporary files among it, by the server's own word. */
async function everythingThere(): Promise<string[]> {
  await using direct = await openAt(server.host);
  return [...(await namesIn(direct)), ...(await collect(direct.leftovers())).map(({ name }) => name)];
}

const PASSING: readonly (readonly [string, (method: string) => PlannedFault])[] = [
  ["a reset", (method) => ({ kind: "reset", method })],
  ["a lost answer", (method) => ({ kind: "lose-answer", method })],
  ["500", (method) => ({ kind: "status", status: 500, method })],
  ["503", (method) => ({ kind: "status", status: 503, method })],
  ["502 although it was done", (method) => ({ kind: "done-but", status: 502, code: "BadGateway", method })],
  ["423 Locked", (method) => ({ kind: "status", status: 423, method })],
  ["429", (method) => ({ kind: "status", status: 429, method })],
  ["no answer", (method) => ({ kind: "deaf", method })],
];

test.each(PASSING)("every call survives %s, sent again and counted", async (_, fault) => {
  const isSilent = fault("GET").kind === "deaf";
  if (isSilent) storage = await openAt(proxy.endpoint, SHORT_STALL_MS);
  // Learns what the server asks for.
  expect(await storage.head("a")).toBe(null);
  const once = async (method: string, work: () => Promise<unknown>): Promise<void> =>
    await meetingOnce({ storage, proxy, fault }, method, work);
  const bytes = randomBytes(1000);
  await once("MKCOL", async () => await storage.put("first/a", bytes, { ifAbsent: true }));
  await once("PUT", async () => await storage.put("a", bytes, { ifAbsent: true }));
  await once("MOVE", async () => await storage.put("b", bytes, { ifAbsent: true }));
  await once("MOVE", async () => await storage.put("c", bytes));
  await once("PROPFIND", async () => expect(await storage.head("a")).toEqual({ name: "a", sizeBytes: 1000 }));
  await once("GET", async () => expect(Buffer.compare(await storage.read("a"), bytes)).toBe(0));
  await once("PROPFIND", async () => expect(await namesIn(storage)).toEqual(["a", "b", "c", "first/a"]));
  for (const name of ["a", "b", "c", "first/a"]) await once("DELETE", async () => await storage.delete(name));
  expect(await everythingThere()).toEqual([]);
  expect(retries.length).toBe(storage.retryCount);
});

test.each([PASSING[0]!, PASSING[1]!])("a long upload survives %s at each of its requests", async (_, fault) => {
  const bytes = randomBytes(9 * MIB);
  const announced = `/.cairn-tmp/${sha256(Buffer.from("a")).toString("hex").slice(0, 16)}.`;
  const requests = [
    ["PUT", "/.cairn-tmp/claim."],
    ["PUT", DATA],
    ["MOVE", DATA],
    ["MOVE", announced],
    ["DELETE", "/.cairn-tmp/claim."],
  ];
  proxy.plan(...requests.map(([method, url]) => ({ ...fault(method!), url: url! })));
  const writer = await storage.openWriter("a", { ifAbsent: true });
  expect(await stream(writer, bytes, 3 * MIB)).toEqual({ name: "a", sizeBytes: bytes.length });
  expect(proxy.unmet()).toBe(0);
  expect(storage.retryCount).toBe(requests.length);
  expect(sha256(await storage.read("a")).equals(sha256(bytes))).toBe(true);
  expect(await everythingThere()).toEqual(["a"]);
});

test("an upload that breaks off in the middle is sent again from its beginning", async () => {
  let broken = 0;
  await using spoiler = await openSpoiler(server.host, (incoming) => {
    if (incoming.method !== "PUT" || !incoming.url!.includes(DATA) || broken > 1) return false;
    broken += 1;
    let count = 0;
    incoming.on("data", (piece: Buffer) => {
      count += piece.length;
      if (count > 5 * MIB) incoming.socket.resetAndDestroy();
    });
    return true;
  });
  await using spoiled = await openAt(spoiler.host);
  const bytes = randomBytes(20 * MIB);
  await stream(await spoiled.openWriter("a", { ifAbsent: true }), bytes, MIB);
  expect(broken).toBe(2);
  expect(spoiled.retryCount).toBe(2);
  expect(sha256(await storage.read("a")).equals(sha256(bytes))).toBe(true);
  expect(await everythingThere()).toEqual(["a"]);
});

test.each<[string, Spoil]>([
  [
    "refuses",
    (incoming, answer) => {
      answer.writeHead(411).end();
      return incoming.method === "PUT";
    },
  ],
  [
    "drops",
    (incoming, answer) => {
      forward(server.host, incoming, answer, { isEmpty: true, headers: { "transfer-encoding": undefined } });
      return true;
    },
  ],
])("where a server %s bodies of unknown length, objects are sent with their length", async (_, spoil) => {
  let spoiled = 0;
  await using spoiler = await openSpoiler(server.host, (incoming, answer) => {
    if (incoming.method !== "PUT" || incoming.headers["transfer-encoding"] === undefined) return false;
    spoiled += 1;
    return spoil(incoming, answer);
  });
  await using short = await openAt(spoiler.host);
  const bytes = randomBytes(10 * MIB);
  for (const name of ["a", "b"]) await stream(await short.openWriter(name, { ifAbsent: true }), bytes, MIB);
  expect(spoiled).toBe(1);
  for (const name of ["a", "b"]) expect(sha256(await storage.read(name)).equals(sha256(bytes))).toBe(true);
});

test("a conditional write whose answer was lost is told from one that came too late", async () => {
  proxy.plan({ kind: "lose-answer", method: "MOVE" });
  await storage.put("mine", Buffer.from("1"), { ifAbsent: true });
  proxy.plan({ kind: "twice", method: "MOVE" });
  await storage.put("twice", Buffer.from("1"), { ifAbsent: true });
  await using other = await openAt(server.host);
  await other.put("theirs", Buffer.from("2"));
  proxy.plan({ kind: "reset", method: "MOVE" });
  await expect(storage.put("theirs", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject({
    code: "repository_exists",
  });
  // The object is whole when the loser's attempt, whose answer is lost, finds it.
  proxy.plan({ kind: "done-but", status: 502, code: "x", method: "MOVE" });
  await expect(storage.put("theirs", Buffer.from("3"), { ifAbsent: true })).rejects.toMatchObject({
    code: "repository_exists",
  });
  expect(Buffer.from(await storage.read("theirs")).toString()).toBe("2");
  expect(await everythingThere()).toEqual(["mine", "theirs", "twice"]);
});

test("where the server looks first and renames later, of eight racers one wins all the same", async () => {
  await using spoiler = await openSpoiler(server.host, (incoming, answer) => {
    const target = String(incoming.headers["destination"]);
    if (incoming.method !== "MOVE" || target.includes("/.cairn-tmp/")) return false;
    const { authorization = "" } = incoming.headers;
    void fetch(target, { method: "HEAD", headers: { authorization } }).then(({ status }) => {
      if (status === 200) return answer.writeHead(412).end();
      return setTimeout(() => forward(server.host, incoming, answer, { headers: { overwrite: "T" } }), 60);
    });
    return true;
  });
  const storages = await Promise.all(Array.from({ length: 8 }, async () => await openAt(spoiler.host)));
  const outcomes = await Promise.allSettled(
    storages.map(async (one, index) => {
      const bytes = Buffer.alloc(index % 2 === 0 ? 100 : 9 * MIB, index);
      if (index % 2 === 0) return await one.put("x/y", bytes, { ifAbsent: true });
      return await stream(await one.openWriter("x/y", { ifAbsent: true }), bytes, 4 * MIB);
    }),
  );
  const winners = outcomes.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
  expect(winners).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "repository_exists" });
  }
  expect((await storage.read("x/y"))[0]).toBe(winners[0]);
  expect(await everythingThere()).toEqual(["x/y"]);
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
  await storage.head("a");
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

test("a list that is cut off is asked for again, never taken for the whole", async () => {
  for (let index = 0; index < 20; index += 1) await storage.put(`n/${index}`, Buffer.from("1"));
  proxy.plan({ kind: "short-length", method: "PROPFIND", bytes: 3000 });
  expect(await namesIn(storage, "n/")).toHaveLength(20);
  expect(storage.retryCount).toBe(1);
  proxy.plan({ kind: "cut-body", method: "PROPFIND", bytes: 3000, times: 99 });
  await expect(namesIn(storage, "n/")).rejects.toMatchObject({ code: "storage_failed" });
});

test("gives up what stays broken after so many tries, and leaves nothing behind", async () => {
  proxy.plan({ kind: "status", status: 503, method: "PUT", url: DATA, times: 99 });
  const writer = await storage.openWriter("a");
  await expect(stream(writer, randomBytes(20 * MIB), MIB)).rejects.toMatchObject({
    code: "storage_failed",
    retryable: true,
  });
  await writer.abort();
  proxy.plan();
  expect(await everythingThere()).toEqual([]);
});

test.each([
  { kind: "lose-answer", method: "MOVE", times: 99 },
  { kind: "done-but", status: 502, code: "BadGateway", method: "MOVE", times: 99 },
] as const)(
  "what was made although every answer was lost ($kind) is removed, as the call has failed",
  async (fault) => {
    const failing = async (ifAbsent: boolean): Promise<void> =>
      await expect(storage.put("small", Buffer.from("1"), { ifAbsent })).rejects.toMatchObject({
        code: "storage_failed",
      });
    proxy.plan({ ...fault, method: "PUT" });
    for (const ifAbsent of [true, false]) await failing(ifAbsent);
    proxy.plan(fault);
    await failing(true);
    const through = { kind: "slow", ms: 0, method: "MOVE" } as const;
    for (const faults of [[fault], [through, fault]]) {
      proxy.plan(...faults);
      const writing = stream(await storage.openWriter("large", { ifAbsent: true }), randomBytes(9 * MIB), MIB);
      await expect(writing).rejects.toMatchObject({ code: "storage_failed" });
    }
    proxy.plan();
    expect(await everythingThere()).toEqual([]);
    // A name that others may write too is left: it may be theirs.
    proxy.plan(fault);
    await failing(false);
    proxy.plan();
    expect(await everythingThere()).toEqual(["small"]);
  },
);

test("what may have replaced another stays, although every answer was lost", async () => {
  await replacingInVain({ storage, proxy }, { method: "PUT" }, async (name, bytes) => await storage.put(name, bytes));
  const moved = async (name: string, bytes: Uint8Array): Promise<unknown> =>
    await stream(await storage.openWriter(name), bytes, MIB);
  await replacingInVain({ storage, proxy }, { method: "MOVE" }, moved);
  expect(await everythingThere()).toEqual(["replaced"]);
});

test("a server that does not read stops the writer: memory stays bounded", async () => {
  await storage.put("there", Buffer.from("1"));
  proxy.plan({ kind: "deaf", method: "PUT", url: DATA, times: 99 });
  const writer = await storage.openWriter("a");
  let taken = 0;
  const writing = (async (): Promise<void> => {
    for (; taken < 200 * MIB; taken += MIB) await writer.write(Buffer.alloc(MIB));
  })();
  writing.catch(() => undefined);
  let before = -1;
  while (before < taken) {
    before = taken;
    await new Promise((resolve) => setTimeout(resolve, 1200));
  }
  expect(taken).toBeGreaterThan(8 * MIB);
  expect(taken).toBeLessThan(UNSENT_BYTES_MAX);
  await writer.abort();
  await expect(writing).rejects.toMatchObject({ code: "storage_failed" });
  expect(await everythingThere()).toEqual(["there"]);
});

describe("refusals", () => {
  test.each([
    [401, "permission_denied", "does not take the user's name"],
    [403, "permission_denied", "not allowed"],
    [405, "storage_failed", "does not do this here"],
    [413, "storage_failed", "larger than the server takes"],
    [507, "no_space", "no space left"],
    [501, "storage_failed", "cannot do this"],
    [302, "storage_failed", "sends us elsewhere"],
  ] as const)("%d fails at once, with a cure", async (status, code, words) => {
    await storage.put("there", Buffer.from("1"));
    proxy.plan({ kind: "status", status, method: "PUT", times: 99 });
    await expect(storage.put("a", Buffer.from("1"), { ifAbsent: true })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words) as string,
      hint: expect.stringMatching(/\w+/) as string,
    });
    expect(proxy.seen.filter((request) => request.startsWith("PUT"))).toHaveLength(1);
  });

  test.each(["PUT", "MOVE"])(
    "a full disk in the middle of a long upload (507 on %s) leaves nothing",
    async (method) => {
      await storage.put("there", Buffer.from("1"));
      proxy.plan({ kind: "status", status: 507, method, url: DATA, times: 99 });
      const writing = stream(await storage.openWriter("a", { ifAbsent: true }), randomBytes(20 * MIB), MIB);
      await expect(writing).rejects.toMatchObject({ code: "no_space" });
      proxy.plan();
      expect(await everythingThere()).toEqual(["there"]);
    },
  );

  test("the folder of an object that somebody removes is made again", async () => {
    await storage.put("x/a", Buffer.from("1"), { ifAbsent: true });
    await using other = await openAt(server.host);
    await other.delete("x");
    await storage.put("x/b", Buffer.from("1"), { ifAbsent: true });
    await rm(join(server.folder, place, ".cairn-tmp"), { recursive: true });
    await storage.put("x/c", Buffer.from("1"), { ifAbsent: true });
    expect(await namesIn(storage)).toEqual(["x/b", "x/c"]);
  });

  test("an object of which the server says another size is corrupt, and removed", async () => {
    let looks = 0;
    await using spoiler = await openSpoiler(server.host, (incoming, answer) => {
      if (incoming.method !== "PROPFIND" || !incoming.url!.endsWith("/a")) return false;
      looks += 1;
      const href = incoming.url!;
      const body = `<d:multistatus xmlns:d="DAV:"><d:response><d:href>${href}</d:href><d:propstat><d:prop><d:getcontentlength>3</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>`;
      incoming.resume().on("end", () => answer.writeHead(207).end(body));
      return true;
    });
    await using spoiled = await openAt(spoiler.host);
    await expect(spoiled.put("a", Buffer.from("whole"), { ifAbsent: true })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("has 3 bytes after writing, not 5") as string,
    });
    expect(looks).toBeGreaterThan(0);
    expect(await everythingThere()).toEqual([]);
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
