// Whose a name is on sftp: repositories: writers that are cancelled while they give it, chance, two at once where the
// server makes no hard links; and whose the unfinished files are where the server does not know the time.

import { randomBytes } from "node:crypto";
import { readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { Retrier } from "../../src/storage/retrier.ts";
import { Namer } from "../../src/storage/sftp/give-name.ts";
import { parseSftpLocation } from "../../src/storage/sftp/sftp-location.ts";
import { SftpRequests } from "../../src/storage/sftp/sftp-requests.ts";
import { until } from "../faults/support.ts";
import { collect } from "./contract.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";
import { openTcpProxy } from "./tcp-proxy.ts";
import type { TcpProxy } from "./tcp-proxy.ts";

const DAY_SECONDS = 24 * 3600;
/** A writer of another machine. */
const STRANGER = ".cairn-tmp-0123456789ab-01234567-4711-99-";

const newPlace = (): string => `place-${randomBytes(4).toString("hex")}`;

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

async function proxyTo(server: SftpServer): Promise<TcpProxy> {
  const proxy = await openTcpProxy(server.port);
  const known = await readFile(server.file("known_hosts"), "utf8");
  await writeFile(server.file("known_hosts"), known + known.replace(`:${server.port}`, `:${proxy.port}`));
  return proxy;
}

describe.each([
  ["hard links", []],
  ["renaming only", ["-P", "hardlink"]],
])("by %s", (way, sftpWords) => {
  let server: SftpServer;
  let proxy: TcpProxy;
  beforeAll(async () => {
    server = await SftpServer.start({ sftpWords });
    proxy = await proxyTo(server);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const openAt = async (place: string): Promise<Storage> =>
    await openStorage(server.uriAt(place, {}, proxy.port), nearSurroundings());

  test("whenever a writer is cancelled, its object is there if put() says so, and never if it throws", async () => {
    const place = newPlace();
    await using storage = await openAt(place);
    await storage.put("before", Buffer.from("1"));
    proxy.delayMs = 16;
    const outcomes: (readonly [string, boolean])[] = [];
    for (let afterMs = 0; ; afterMs += 8) {
      const name = `at-${afterMs}`;
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error("halt")), afterMs);
      const isThere = await storage
        .put(name, Buffer.from(name), { ifAbsent: true, signal: stop.signal })
        .then(() => true, (error: unknown) => (expect(error).toMatchObject({ message: "halt" }), false)); // prettier-ignore
      outcomes.push([name, isThere]);
      // Once it came to its end without meeting the signal, there is nothing more to try.
      if (!stop.signal.aborted) break;
      expect(afterMs).toBeLessThan(2000);
    }
    proxy.delayMs = 0;
    // What a request of a cancelled writer might still do, it has done before this is answered.
    await storage.put("after", Buffer.from("1"));
    const done = outcomes.filter(([, isThere]) => isThere).map(([name]) => name);
    expect((await filesIn(join(server.home, place))).toSorted()).toEqual(["after", "before", ...done].toSorted());
    expect(outcomes.length - done.length).toBeGreaterThan(5);
  });

  test("an object that has the mark by chance is somebody else's", async () => {
    const place = newPlace();
    const root = join(server.home, place);
    await using storage = await openAt(place);
    await storage.put("x", Buffer.from("theirs"));
    const requests = new SftpRequests(parseSftpLocation(server.uriAt(place), {}), {}, new Retrier());
    const none = Math.floor(Date.now() / 1000);
    const marks = { first: none - 5000, second: none - 50_000, none };
    await utimes(join(root, "x"), marks.first, marks.first);
    await requests.run({ action: "could not name" }, async (connection) => {
      const temporaryPath = join(root, `${STRANGER}1`);
      const open = connection.request<Buffer>((sftp, done) => sftp.open(temporaryPath, "w", done));
      await open.then((handle) => connection.request<void>((sftp, done) => sftp.close(handle, done)));
      const naming = { path: join(root, "x"), temporaryPath, ifAbsent: true, needsMark: false, marks };
      expect(await new Namer(requests, connection, naming).isOurs()).toBe(false);
      await expect(new Namer(requests, connection, naming).give(false)).rejects.toMatchObject({
        code: "repository_exists",
      });
      // What it names itself it knows, by whichever way and however often it asks.
      const ours = { ...naming, path: join(root, "y") };
      await new Namer(requests, connection, ours).give(true);
      for (let round = 0; round < 2; round += 1) {
        expect(await new Namer(requests, connection, ours).isOurs(), way).toBe(true);
      }
    });
    await requests.dispose();
    expect(await readFile(join(root, "x"), "utf8")).toBe("theirs");
  });

  test("a mark is younger than what makes a file old, and gone in the end", async () => {
    const place = newPlace();
    const root = join(server.home, place);
    await using storage = await openAt(place);
    await storage.put("before", Buffer.from("1"));
    let oldest = Number.POSITIVE_INFINITY;
    const watch = setInterval(() => {
      for (const name of readdirSync(root)) {
        oldest = Math.min(oldest, statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? oldest);
      }
    }, 1);
    proxy.delayMs = 20;
    await storage.put("x", Buffer.from("1"), { ifAbsent: true, needsMark: true });
    proxy.delayMs = 0;
    clearInterval(watch);
    const ageHours = (Date.now() - oldest) / 3_600_000;
    expect(ageHours).toBeGreaterThan(0.9);
    expect(ageHours).toBeLessThan(13);
    expect(Date.now() - (await stat(join(root, "x"))).mtimeMs).toBeLessThan(60_000);
  });
});

test("a writer that is replaced by another one at the same moment is told, where there are no hard links", async () => {
  await using server = await SftpServer.start({ sftpWords: ["-P", "hardlink"] });
  await using proxy = await proxyTo(server);
  const root = join(server.home, "p");
  await using storage = await openStorage(server.uriAt("p", {}, proxy.port), nearSurroundings());
  await storage.put("before", Buffer.from("1"));
  proxy.delayMs = 200;
  const putting = storage.put("x", Buffer.from("ours"), { ifAbsent: true });
  putting.catch(() => undefined);
  // As long as ours, and of the same second.
  writeFileSync(join(server.home, "theirs"), "them");
  await until("it has its name", () => readdirSync(root).includes("x"));
  // Its writer has seen its own mark by then, and looks once more in the end.
  await delay(proxy.delayMs * 1.5);
  renameSync(join(server.home, "theirs"), join(root, "x"));
  await expect(putting).rejects.toMatchObject({ code: "repository_exists" });
  proxy.delayMs = 0;
  expect(await readFile(join(root, "x"), "utf8")).toBe("them");
});

describe("leftovers() where the server does not know the time", () => {
  let server: SftpServer;
  beforeAll(async () => {
    server = await SftpServer.start();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  /** Sets when all files of a place were modified, and says of each left-over whether it is dead. */
  async function judge(place: string, storage: Storage, seconds: number): Promise<boolean[]> {
    const folder = join(server.home, place);
    for (const name of await filesIn(folder)) await utimes(join(folder, name), seconds, seconds);
    return (await collect(storage.leftovers())).map(({ isDead }) => isDead);
  }

  test("a process that lives is alive, however old its file looks", async () => {
    await using storage = await openStorage(server.uriAt("living"), nearSurroundings());
    await using writer = await storage.openWriter("x");
    await writer.write(Buffer.from("1"));
    for (const days of [8, 60]) {
      const seconds = Date.now() / 1000 - days * DAY_SECONDS;
      await judge("living", storage, seconds);
      // Others' files are young.
      await storage.put("young", Buffer.from("1"));
      expect((await collect(storage.leftovers())).map(({ isDead }) => isDead)).toEqual([false]);
    }
    await writer.finish();
  });

  test("a file counts as old beside a younger one only, and if it has a time at all", async () => {
    const folder = join(server.home, "clock");
    await using storage = await openStorage(server.uriAt("clock"), nearSurroundings());
    await storage.put("x", Buffer.from("1"));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${STRANGER}1`), "left");
    const nowSeconds = Date.now() / 1000;
    // A server whose clock is slow, or fast, or begins with each boot.
    for (const days of [8, 300, -300]) {
      expect(await judge("clock", storage, nowSeconds - days * DAY_SECONDS), `${days}`).toEqual([false]);
    }
    expect(await judge("clock", storage, 1000)).toEqual([false]);
    await utimes(join(folder, "x"), nowSeconds, nowSeconds);
    expect((await collect(storage.leftovers())).map(({ isDead }) => isDead)).toEqual([false]);
    // One file from the future makes no other one old.
    await judge("clock", storage, nowSeconds - DAY_SECONDS);
    await utimes(join(folder, "x"), nowSeconds + 300 * DAY_SECONDS, nowSeconds + 300 * DAY_SECONDS);
    expect((await collect(storage.leftovers())).map(({ isDead }) => isDead)).toEqual([false]);
    await judge("clock", storage, nowSeconds - 8 * DAY_SECONDS);
    await utimes(join(folder, "x"), nowSeconds, nowSeconds);
    expect((await collect(storage.leftovers())).map(({ isDead }) => isDead)).toEqual([true]);
  });
});
