// What networks and servers do to sftp: repositories: lost connections, silence, a server that dies, a full disk, quotas,
// rights. Each of these loses an object, or makes a good one look lost, without the driver's care.

import { randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, open, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import type { Storage, StorageSurroundings } from "../../src/storage/index.ts";
import { until } from "../faults/support.ts";
import { collect, expectedOf, namesIn, sha256, stream } from "./contract.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";
import { openTcpProxy } from "./tcp-proxy.ts";
import type { TcpProxy } from "./tcp-proxy.ts";

const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";
/** Before these, nobody is logged in yet. */
const LOGIN_PIECES = 8;
const privateMounts = ["unshare", "--mount", "--propagation", "private"] as const;

/** Retries without pauses; silence is noticed soon. */
function surroundings(stallTimeoutMs = 60_000, attemptsMax = 10): StorageSurroundings {
  return { environment: {}, retries: { policy: { firstDelayMs: 1, delayMsMax: 20, stallTimeoutMs, attemptsMax } } };
}

const newPlace = (): string => `place-${randomBytes(4).toString("hex")}`;

/** Names of all files of a place, unfinished ones too. */
async function filesIn(server: SftpServer, place: string): Promise<string[]> {
  const entries = await readdir(join(server.home, place), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

describe("the network", () => {
  let server: SftpServer;
  let proxy: TcpProxy;
  beforeAll(async () => {
    // Keys are exchanged anew many times in each transfer.
    server = await SftpServer.start({ settings: ["RekeyLimit 1M"] });
    proxy = await openTcpProxy(server.port);
    const known = await readFile(server.file("known_hosts"), "utf8");
    await writeFile(server.file("known_hosts"), known + known.replace(`:${server.port}`, `:${proxy.port}`));
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const openAt = async (place: string, ...more: Parameters<typeof surroundings>): Promise<Storage> =>
    await openStorage(server.uriAt(place, {}, proxy.port), surroundings(...more));

  test("cut again and again while an object is written: it is whole, and nothing is left over", async () => {
    const place = newPlace();
    await using storage = await openAt(place);
    const bytes = randomBytes(20 * MIB);
    proxy.plan(...[3, 4, 5].map((mib) => ({ kind: "cut", afterBytesUp: mib * MIB }) as const));
    expect(await stream(await storage.openWriter("a/b", { ifAbsent: true }), bytes, MIB)).toEqual({
      name: "a/b",
      sizeBytes: bytes.length,
    });
    expect(storage.retryCount).toBeGreaterThanOrEqual(3);
    expect((await readFile(join(server.home, place, "a/b"))).equals(bytes)).toBe(true);
    expect(await filesIn(server, place)).toEqual(["b"]);
  });

  test("cut while an object is read, and while a list is: both are whole", async () => {
    const place = newPlace();
    await using storage = await openAt(place);
    const bytes = randomBytes(3 * MIB);
    await storage.put("x/large", bytes);
    const names = Array.from({ length: 300 }, (_, index) => `x/${index}`);
    for (const name of names) await writeFile(join(server.home, place, name), name);
    for (let pieces = 20; pieces <= 40; pieces += 10) {
      proxy.plan({ kind: "cut", afterPiecesDown: pieces });
      proxy.cut();
      expect(sha256(await storage.read("x/large")).equals(sha256(bytes))).toBe(true);
      proxy.plan({ kind: "cut", afterPiecesDown: pieces - 10 });
      proxy.cut();
      expect(await namesIn(storage)).toEqual([...names, "x/large"].toSorted());
    }
    expect(storage.retryCount).toBeGreaterThanOrEqual(4);
  });

  test("cut for good: the error says so, what was written is a left-over", async () => {
    const place = newPlace();
    await using storage = await openAt(place, 60_000, 3);
    const writer = await storage.openWriter("x");
    await writer.write(Buffer.alloc(5 * MIB));
    await until("some of it is there", async () =>
      (await collect(storage.leftovers())).some(({ sizeBytes }) => sizeBytes > MIB),
    );
    const cuts = Array.from({ length: 100 }, () => ({ kind: "cut", afterPiecesDown: 0 }) as const);
    proxy.plan(...cuts);
    proxy.cut();
    await expect(writer.finish(expectedOf(Buffer.alloc(5 * MIB)))).rejects.toMatchObject({
      message: expect.stringContaining('could not write "x": ') as string,
      detail: "It was tried 3 times.",
    });
    proxy.plan();
    expect(await namesIn(storage)).toEqual([]);
    expect(await collect(storage.leftovers())).toMatchObject([{ isDead: false }]);
  });

  test("silent: a request is given up and sent again over a new connection", async () => {
    const place = newPlace();
    await using patient = await openAt(place);
    await patient.put("x", randomBytes(3 * MIB));
    await using storage = await openAt(place, 1500);
    proxy.plan({ kind: "stall", afterBytesDown: MIB });
    expect(await storage.read("x")).toHaveLength(3 * MIB);
    expect(storage.retryCount).toBe(1);
    await using impatient = await openAt(place, 500, 2);
    proxy.plan(...[1, 2].map(() => ({ kind: "stall", afterBytesDown: MIB }) as const));
    await expect(impatient.read("x")).rejects.toMatchObject({
      code: "stalled",
      message: expect.stringMatching(/could not read "x": 127.0.0.1 has answered nothing for/) as string,
    });
    proxy.plan();
  });

  /** Cuts the connection after each answer of a write in turn, from the login to the end; gives how often it was cut. */
  async function cutAtEachAnswer(
    at: SftpServer,
    through: TcpProxy,
    write: (storage: Storage) => Promise<void>,
  ): Promise<number> {
    let cuts = 0;
    for (let pieces = LOGIN_PIECES; pieces < 70; pieces += isFull ? 1 : 2) {
      const place = newPlace();
      await mkdir(join(at.home, place), { recursive: true });
      await chmod(join(at.home, place), 0o777);
      through.plan({ kind: "cut", afterPiecesDown: pieces });
      await using storage = await openStorage(at.uriAt(place, {}, through.port), surroundings());
      await write(storage);
      const wasCut = (storage.retryCount ?? 0) > 0;
      cuts += wasCut ? 1 : 0;
      expect(await filesIn(at, place), `cut after ${pieces}`).toEqual(["x"]);
      if (!wasCut) return cuts;
    }
    throw new Error("the write never came to its end without a cut");
  }

  describe.each([
    ["hard links", []],
    ["renaming only", ["-P", "hardlink"]],
  ])("by %s", (_, sftpWords) => {
    let linking: SftpServer;
    let way: TcpProxy;
    beforeAll(async () => {
      linking = await SftpServer.start({ sftpWords });
      way = await openTcpProxy(linking.port);
      const known = await readFile(linking.file("known_hosts"), "utf8");
      await writeFile(linking.file("known_hosts"), known + known.replace(`:${linking.port}`, `:${way.port}`));
    });
    afterAll(async () => {
      await way[Symbol.asyncDispose]();
      await linking[Symbol.asyncDispose]();
    });

    test("whichever answer is lost, an object is created once, and known as our own", async () => {
      const bytes = randomBytes(1000);
      const cuts = await cutAtEachAnswer(linking, way, async (storage) => {
        expect(await storage.put("x", bytes, { ifAbsent: true })).toEqual({ name: "x", sizeBytes: 1000 });
        expect((await storage.read("x")).every((byte, index) => byte === bytes[index])).toBe(true);
      });
      expect(cuts).toBeGreaterThan(isFull ? 6 : 3);
    });

    test("whichever answer is lost, somebody else's object of the same size stays, and is not taken for our own", async () => {
      const theirs = randomBytes(1000);
      await cutAtEachAnswer(linking, way, async (storage) => {
        const place = /place-\w+/.exec(storage.description)?.[0] ?? "";
        await writeFile(join(linking.home, place, "x"), theirs);
        await expect(storage.put("x", randomBytes(1000), { ifAbsent: true })).rejects.toMatchObject({
          code: "repository_exists",
        });
        expect((await readFile(join(linking.home, place, "x"))).equals(theirs)).toBe(true);
      });
    });

    test("whichever answer is lost, an object is replaced as a whole", async () => {
      const bytes = randomBytes(1000);
      await cutAtEachAnswer(linking, way, async (storage) => {
        const place = /place-\w+/.exec(storage.description)?.[0] ?? "";
        await writeFile(join(linking.home, place, "x"), "before");
        await storage.put("x", bytes);
        expect((await readFile(join(linking.home, place, "x"))).equals(bytes)).toBe(true);
      });
    });

    test("what may have replaced another stays, although the connection breaks each time", async () => {
      const bytes = randomBytes(1000);
      const outcomes = new Set<string>();
      for (let pieces = LOGIN_PIECES; pieces < 36; pieces += isFull ? 1 : 5) {
        const place = newPlace();
        await using near = await openStorage(linking.uriAt(place), nearSurroundings());
        await near.put("x", Buffer.from("before"));
        way.plan(...Array.from({ length: 20 }, () => ({ kind: "cut", afterPiecesDown: pieces }) as const));
        await using storage = await openStorage(linking.uriAt(place, {}, way.port), surroundings(60_000, 3));
        const outcome = await storage.put("x", bytes).then(() => "done", () => "failed"); // prettier-ignore
        way.plan();
        const found = Buffer.from(await near.read("x"));
        const isOld = outcome === "failed" && found.toString() === "before";
        expect({ pieces, isWhole: isOld || found.equals(bytes) }).toEqual({ pieces, isWhole: true });
        outcomes.add(`${outcome}, ${found.equals(bytes) ? "after" : "before"}`);
      }
      expect([...outcomes]).toEqual(expect.arrayContaining(["failed, before", "done, after"]));
    });

    test("of eight that create the same object one wins; marks are kept", async () => {
      await using storage = await openStorage(linking.uriAt(newPlace()), nearSurroundings());
      await refuseUnconditionalStorage(storage);
      const outcomes = await Promise.allSettled(
        Array.from(
          { length: 8 },
          async (_, index) => await storage.put("x", Buffer.alloc(100, index), { ifAbsent: true }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "repository_exists" });
      }
      expect(await collect(storage.leftovers())).toEqual([]);
    });
  });
});

describe("the server", () => {
  test("that goes down in mid-write and comes back: the object is whole; what it lost is noticed", async () => {
    await using server = await SftpServer.start();
    await using storage = await openStorage(server.uriAt("p"), nearSurroundings());
    for (const isLost of [false, true]) {
      const bytes = randomBytes(12 * MIB);
      const writer = await storage.openWriter("x");
      await writer.write(Uint8Array.from(bytes.subarray(0, 8 * MIB)));
      await until("a part is there", async () =>
        (await collect(storage.leftovers())).some(({ sizeBytes }) => sizeBytes >= 6 * MIB),
      );
      await server.end();
      if (isLost) await loseMiddle(server);
      await server.begin();
      await writer.write(Uint8Array.from(bytes.subarray(8 * MIB)));
      const finishing = writer.finish(expectedOf(bytes));
      if (isLost)
        await expect(finishing).rejects.toMatchObject({
          code: "corrupt",
          message: expect.stringContaining("lost a part") as string,
        });
      else await finishing;
      expect(await filesIn(server, "p")).toEqual(isLost ? [] : ["x"]);
      if (!isLost) expect((await readFile(join(server.home, "p/x"))).equals(bytes)).toBe(true);
      await storage.delete("x");
    }
    await server.killSessions();
    expect(await namesIn(storage)).toEqual([]);
  });

  /** As a file looks that was not all on the disk when the host went down. */
  async function loseMiddle(server: SftpServer): Promise<void> {
    const [name = ""] = await filesIn(server, "p");
    await using handle = await open(join(server.home, "p", name), "r+");
    await handle.write(Buffer.alloc(4096), 0, 4096, 2 * MIB);
  }

  test("that shows another host key after it was started anew is refused in mid-run", async () => {
    await using server = await SftpServer.start();
    await using storage = await openStorage(server.uriAt("p"), nearSurroundings());
    await storage.put("x", Buffer.from("1"));
    const known = await readFile(server.file("known_hosts"));
    await server.end();
    await server.makeHostKeys();
    await writeFile(server.file("known_hosts"), known);
    await server.begin();
    await expect(storage.read("x")).rejects.toMatchObject({
      code: "connection_failed",
      message: expect.stringContaining("HAS CHANGED") as string,
    });
  });

  test("that has a limit on the size of files: the write fails with what to look for, and leaves nothing", async () => {
    // 4 MiB; in sh, the unit is 512 bytes.
    await using server = await SftpServer.start({ wrapper: 'trap "" XFSZ; ulimit -f 8192; exec "$@"' });
    await using storage = await openStorage(server.uriAt("p"), nearSurroundings());
    await expect(storage.put("x", Buffer.alloc(6 * MIB))).rejects.toMatchObject({
      code: "storage_failed",
      hint: expect.stringContaining("quota") as string,
    });
    expect(await filesIn(server, "p")).toEqual([]);
    await storage.put("y", Buffer.alloc(MIB));
  });

  test.skipIf(!isMountable())(
    "that has no room left: no_space, nothing under the name, and what was there stays",
    async () => {
      const script = 'mount -t tmpfs -o size=6m,mode=777 none "$0" && exec "$@"';
      await using server = await SftpServer.start({
        wrapper: `exec ${privateMounts.join(" ")} sh -c '${script}' "$0" "$@"`,
      });
      await using storage = await openStorage(server.uriAt("p"), nearSurroundings());
      await storage.put("before", Buffer.alloc(MIB, 1));
      expect(await storage.freeSpaceBytes()).toBeLessThan(6 * MIB);
      await expect(storage.put("x", Buffer.alloc(8 * MIB))).rejects.toMatchObject({ code: "no_space" });
      expect(await namesIn(storage)).toEqual(["before"]);
      expect(await collect(storage.leftovers())).toEqual([]);
      await storage.put("y", Buffer.alloc(MIB));
    },
  );

  test("that refuses rights: they are named; reading is enough to read", async () => {
    await using server = await SftpServer.start();
    await using storage = await openStorage(server.uriAt("p"), nearSurroundings());
    await storage.put("d/x", Buffer.from("1"));
    for (const path of ["p/d", "p"]) await chmod(join(server.home, path), 0o500);
    const denied = { code: "permission_denied", hint: expect.stringContaining("cairn storage test") as string };
    await expect(storage.put("d/y", Buffer.from("1"), { ifAbsent: true })).rejects.toMatchObject(denied);
    await expect(storage.put("e/y", Buffer.from("1"))).rejects.toMatchObject(denied);
    await expect(storage.delete("d/x")).rejects.toMatchObject(denied);
    expect(await namesIn(storage)).toEqual(["d/x"]);
    expect(Buffer.from(await storage.read("d/x")).toString()).toBe("1");
    await chmod(join(server.home, "p/d"), 0);
    await expect(storage.read("d/x")).rejects.toMatchObject(denied);
    await expect(storage.head("d/x")).rejects.toMatchObject(denied);
    await expect(namesIn(storage)).rejects.toMatchObject(denied);
    for (const path of ["p", "p/d"]) await chmod(join(server.home, path), 0o700);
  });

  test("holds what others left: old files are dead, young ones not; strange names are passed over; modes are private", async () => {
    await using server = await SftpServer.start();
    // Relative to the home, by a user's folder in it.
    const uri = server.uriAt("p").replace(server.home, "/~");
    await using storage = await openStorage(uri, nearSurroundings());
    await storage.put("d/x", Buffer.from("1"));
    const modes = execFileSync("stat", ["-c", "%a", join(server.home, "p/d"), join(server.home, "p/d/x")]).toString();
    expect(modes).toBe("700\n600\n");
    const days = { young: 6, old: 8 };
    for (const [index, age] of Object.values(days).entries()) {
      const path = join(server.home, "p/d", `.cairn-tmp-0123456789ab-01234567-4711-99-${index}`);
      await writeFile(path, "left");
      const seconds = Date.now() / 1000 - age * 24 * 3600;
      await utimes(path, seconds, seconds);
    }
    for (const name of ["a b", "é", ".hidden", "line\nbreak"]) await writeFile(join(server.home, "p/d", name), "1");
    execFileSync("ln", ["-s", "/etc", join(server.home, "p/d/link")]);
    expect(await namesIn(storage)).toEqual(["d/x"]);
    const left = await collect(storage.leftovers());
    expect(left.map(({ isDead, sizeBytes }) => [isDead, sizeBytes])).toEqual([
      [false, 4],
      [true, 4],
    ]);
    for (const { name } of left) await storage.deleteLeftover(name);
    expect(await collect(storage.leftovers())).toEqual([]);
  });

  test("a storage that was closed says so, and ends its connection", async () => {
    await using server = await SftpServer.start();
    const storage = await openStorage(server.uriAt("p"), nearSurroundings());
    await storage.put("x", Buffer.from("1"));
    const reading = storage.list("")[Symbol.asyncIterator]();
    await reading.next();
    await storage[Symbol.asyncDispose]();
    await expect(storage.read("x")).rejects.toMatchObject({ message: expect.stringContaining("was closed") as string });
    await until("the server sees the end", () => /Disconnected from user|Connection closed by/.test(server.output()));
    await delay(0);
    expect(dirname(server.home)).toBe(server.folder);
  });
});

function isMountable(): boolean {
  try {
    execFileSync(
      privateMounts[0],
      [...privateMounts.slice(1), "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"],
      { stdio: "ignore" },
    );
    return true;
  } catch {
    return false;
  }
}
