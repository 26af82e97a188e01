// Two that write the same name to a WebDAV server: neither ever removes what the other one has finished, above all where
// both write the same bytes, as two copies of one pack do.

import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage, StoredObject } from "../../src/storage/index.ts";
import { announcedName } from "../../src/storage/webdav/temporary-names.ts";
import { until } from "../faults/support.ts";
import { collect, sha256, stream } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import { environmentOf, startApache, surroundingsOf, uriAt, USER } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";
import { forward, openSpoiler } from "./webdav-spoiler.ts";

/** A living writer on another machine, whose name sorts before all others. */
const RIVAL = "000000000000-00000000-1-1-0000000000000000";

let server: WebdavServer;
let place = "";
let storage: Storage;
beforeAll(async () => {
  server = await startApache();
});
afterAll(async () => await server[Symbol.asyncDispose]());
beforeEach(async () => {
  place = randomBytes(6).toString("hex");
  storage = await openAt(server.host);
});

async function openAt(host: string): Promise<Storage> {
  return await openStorage(uriAt(host, place), surroundingsOf());
}

/** Puts a file behind the server's back. */
async function fill(name: string, bytes: Uint8Array): Promise<void> {
  const path = join(server.folder, place, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

async function temporaryNames(): Promise<string[]> {
  return await readdir(join(server.folder, place, ".cairn-tmp"));
}

const whole = async (bytes: Uint8Array, signal: AbortSignal): Promise<StoredObject> =>
  await storage.put("x", bytes, { ifAbsent: true, signal });
const streamed = async (bytes: Uint8Array, signal: AbortSignal): Promise<StoredObject> =>
  await stream(await storage.openWriter("x", { ifAbsent: true, signal }), bytes, 4 * MIB);

test.each([
  ["whole", 1000, whole],
  ["streamed", 9 * MIB, streamed],
])(
  "%s: who waits for another writer leaves that one's object, although it has the same bytes",
  async (_, size, write) => {
    const bytes = randomBytes(size);
    for (const isCancelled of [false, true]) {
      // The server makes the folder, and so may delete in it.
      await storage.put("other", Buffer.from("1"));
      await fill(announcedName(RIVAL, "x"), bytes);
      const controller = new AbortController();
      const writing = write(bytes, controller.signal);
      writing.catch(() => undefined);
      await until("the writer has its file there, not announced", async () =>
        (await temporaryNames()).some((name) => name.startsWith("0000000000000000.")),
      );
      await until("it waits", async () => {
        const mine = (await temporaryNames()).filter((name) => !name.includes(RIVAL) && !name.startsWith("claim."));
        return mine.length === 1 && mine[0]!.startsWith("0000000000000000.");
      });
      await fill("x", bytes);
      if (isCancelled) controller.abort(new Error("halt"));
      await expect(writing).rejects.toThrow(isCancelled ? /halt|is there already/ : "is there already");
      expect(sha256(await storage.read("x")).equals(sha256(bytes))).toBe(true);
      expect(await temporaryNames()).toEqual([announcedName(RIVAL, "x").slice(".cairn-tmp/".length)]);
      await rm(join(server.folder, place), { recursive: true });
      storage = await openAt(server.host);
    }
  },
);

test("a write without a condition leaves what another one has put in its place meanwhile", async () => {
  await using overtaken = await openSpoiler(server.host, (incoming, answer) => {
    if (incoming.method !== "PROPFIND" || !incoming.url!.endsWith("/x") || !hasWritten) return false;
    void fill("x", Buffer.from("theirs, and longer")).then(() => forward(server.host, incoming, answer));
    return true;
  });
  let hasWritten = false;
  overtaken.spoil = ((before) => (incoming, answer) => {
    if (["MOVE", "PUT"].includes(incoming.method!)) hasWritten = true;
    return before(incoming, answer);
  })(overtaken.spoil);
  await using slow = await openAt(overtaken.host);
  // First a new name, then one that is there.
  for (const _ of [1, 2]) {
    await expect(slow.put("x", Buffer.from("mine"))).rejects.toMatchObject({ code: "corrupt" });
    expect(Buffer.from(await storage.read("x")).toString()).toBe("theirs, and longer");
    hasWritten = false;
  }
});

test("reading back after a lost answer takes its own time, not that of the request whose answer was lost", async () => {
  await using proxy = await openFaultProxy(`http://${server.host}`);
  const policy = {
    firstDelayMs: 1,
    delayMsMax: 5,
    attemptsMax: 3,
    attemptTimeoutMs: 1500,
    slowestBytesPerSecond: 16_384,
  };
  const settings = { environment: environmentOf(USER), retries: { policy } };
  await using slow = await openStorage(uriAt(proxy.endpoint.replace("http://", ""), place), settings);
  proxy.plan({ kind: "lose-answer", method: "MOVE" }, { kind: "slow", ms: 2500, method: "GET", times: 9 });
  const bytes = randomBytes(200_000);
  expect(await slow.put("x", bytes, { ifAbsent: true })).toEqual({ name: "x", sizeBytes: bytes.length });
  expect(proxy.seen.filter((request) => request.startsWith("GET"))).toHaveLength(1);
  expect(await collect(storage.leftovers())).toEqual([]);
});
