// Who Cairn is to a WebDAV server, on Apache: Basic, Digest, rights to read; and where credentials are looked for.

import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { namesIn, sha256, stream } from "./contract.ts";
import { environmentOf, READER, startApache, surroundingsOf, uriAt, USER } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";
import { openSpoiler } from "./webdav-spoiler.ts";
import type { Spoiler } from "./webdav-spoiler.ts";

let server: WebdavServer;
let spoiler: Spoiler;
/** "METHOD SCHEME status" of each request since the test began. */
let seen: string[] = [];
let place = "";
beforeAll(async () => {
  server = await startApache();
  spoiler = await openSpoiler(server.host, (incoming, answer) => {
    const scheme = incoming.headers.authorization?.split(" ")[0] ?? "nobody";
    answer.on("finish", () => seen.push(`${incoming.method} ${scheme} ${answer.statusCode}`));
    return false;
  });
});
afterAll(async () => {
  await spoiler[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  seen = [];
  place = randomBytes(6).toString("hex");
});

const openAs = async (user: string, login: "dav" | "digest" = "dav"): Promise<Storage> =>
  await openStorage(uriAt(spoiler.host, place, login), surroundingsOf(user));

test("without TLS the password goes only where it is asked for, and from then on with every request", async () => {
  await using storage = await openAs(USER);
  await storage.head("a");
  await storage.head("b");
  expect(seen).toEqual(["PROPFIND nobody 401", "PROPFIND Basic 404", "PROPFIND Basic 404"]);
});

test("Digest: reads, writes, uploads; a nonce that has become too old is replaced without a failure", async () => {
  await using storage = await openAs(USER, "digest");
  const bytes = randomBytes(9 * MIB);
  await storage.put("x/small", Buffer.from("1"), { ifAbsent: true });
  await stream(await storage.openWriter("x/large", { ifAbsent: true }), bytes, MIB);
  expect(sha256(await storage.read("x/large")).equals(sha256(bytes))).toBe(true);
  seen = [];
  // The server's nonces live for a second.
  while (!seen.includes("GET Digest 401")) expect(await storage.read("x/small")).toHaveLength(1);
  expect(seen.at(-1)).toBe("GET Digest 200");
  await stream(await storage.openWriter("x/larger", { ifAbsent: true }), bytes, MIB);
  expect(await namesIn(storage)).toEqual(["x/large", "x/larger", "x/small"]);
  expect(storage.retryCount).toBe(0);
  expect(seen.filter((request) => request.includes("Basic"))).toEqual([]);
});

test.each(["dav", "digest"] as const)("a wrong password at /%s is said, and tried no more than once", async (login) => {
  const environment = { ...environmentOf(USER), CAIRN_WEBDAV_PASSWORD: "not-the-one" };
  await using storage = await openStorage(uriAt(spoiler.host, place, login), { environment });
  const error: unknown = await storage.read("a").catch((reason: unknown) => reason);
  expect(error).toMatchObject({
    code: "permission_denied",
    message: expect.stringContaining("does not take the user's name and password") as string,
    hint: expect.stringContaining("CAIRN_WEBDAV_PASSWORD") as string,
  });
  expect(JSON.stringify(error)).not.toContain("not-the-one");
  expect(seen).toHaveLength(2);
});

test("credentials that end in mid-run end the run, with a cure", async () => {
  const passwords = join(dirname(server.folder), "basic");
  const before = await readFile(passwords);
  await using storage = await openAs(USER);
  const writer = await storage.openWriter("a", { ifAbsent: true });
  await writer.write(randomBytes(9 * MIB));
  await writeFile(passwords, "nobody:x\n");
  try {
    await expect(writer.finish()).rejects.toMatchObject({
      code: "permission_denied",
      hint: expect.stringContaining("app password") as string,
    });
  } finally {
    await writeFile(passwords, before);
  }
  expect(await namesIn(storage)).toEqual([]);
});

test("rights to read are enough to read and list; what is more is refused and said", async () => {
  await using storage = await openAs(USER);
  await storage.put("x/a", Buffer.from("12345"));
  await using reader = await openAs(READER);
  expect(await namesIn(reader)).toEqual(["x/a"]);
  expect(Buffer.from(await reader.read("x/a", { offset: 1, lengthBytes: 2 })).toString()).toBe("23");
  const denied = {
    code: "permission_denied",
    hint: expect.stringMatching(/cairn storage test|app password/) as string,
  };
  await expect(reader.put("x/b", Buffer.from("1"))).rejects.toMatchObject(denied);
  await expect(reader.delete("x/a")).rejects.toMatchObject(denied);
  expect(await namesIn(storage)).toEqual(["x/a"]);
});

test("credentials come from the token, else user and password, else .netrc; without any it says where", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cairn-netrc-"));
  const { CAIRN_WEBDAV_PASSWORD: password = "" } = environmentOf(USER);
  const text = `machine elsewhere login x password y\nmachine 127.0.0.1\n  login ${USER}\n  password "${password}"\n`;
  const headers: (string | undefined)[] = [];
  await using odd = await openSpoiler(null, (incoming, answer) => {
    headers.push(incoming.headers.authorization);
    answer.writeHead(404).end();
    return true;
  });
  try {
    await writeFile(join(folder, ".netrc"), text);
    await using storage = await openStorage(uriAt(spoiler.host, place), { environment: { HOME: folder } });
    expect(await storage.head("a")).toBe(null);
    const environment = { ...environmentOf(USER), CAIRN_WEBDAV_TOKEN: "tok.en" };
    await using withToken = await openStorage(uriAt(odd.host, place), { environment });
    await withToken.head("a");
    expect(headers).toEqual(["Bearer tok.en"]);
    const withoutTls = openStorage(uriAt("dav.example", place), { environment });
    await expect(withoutTls).rejects.toMatchObject({ code: "usage", hint: expect.stringContaining("TLS") as string });
    await using without = await openStorage(uriAt(spoiler.host, place), { environment: { HOME: "/nonexistent" } });
    await expect(without.head("a")).rejects.toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining("no credentials were found") as string,
    });
    for (const [name, value] of [
      ["CAIRN_WEBDAV_TOKEN", "a b"],
      ["CAIRN_WEBDAV_USERNAME", "a:b"],
      ["CAIRN_WEBDAV_PASSWORD", "x"],
      ["NETRC", "/nonexistent"],
    ] as const) {
      const opening = openStorage(uriAt(spoiler.host, place), { environment: { [name]: value } });
      await expect(opening).rejects.toMatchObject({ code: "usage" });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
