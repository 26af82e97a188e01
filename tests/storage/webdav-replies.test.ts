// Servers that answer as they should not, or as only some do: lists that are hostile, ranges, redirects, Retry-After.

import { randomBytes } from "node:crypto";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { namesIn } from "./contract.ts";
import { environmentOf, uriAt, USER } from "./webdav-servers.ts";
import { multistatus, openSpoiler } from "./webdav-spoiler.ts";
import type { Spoil, Spoiler } from "./webdav-spoiler.ts";

const FOLDER = "/dav/p/";

interface Odd extends AsyncDisposable {
  readonly storage: Storage;
  readonly server: Spoiler;
  readonly delaysMs: number[];
}

async function odd(spoil: Spoil, settings = ""): Promise<Odd> {
  const server = await openSpoiler(null, spoil);
  const delaysMs: number[] = [];
  const storage = await openStorage(uriAt(server.host, "p") + settings, {
    environment: environmentOf(USER),
    retries: {
      policy: { attemptsMax: 3 },
      random: () => 0,
      sleep: async (delayMs) => {
        delaysMs.push(delayMs);
        await Promise.resolve();
      },
    },
  });
  return { storage, server, delaysMs, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const answering =
  (status: number, body: string | Buffer, headers: OutgoingHttpHeaders = {}): Spoil =>
  (incoming, answer) => {
    incoming.resume().on("end", () => answer.writeHead(status, headers).end(body));
    return true;
  };

const self = { href: FOLDER };

test.each([
  [
    "a document type with entities",
    '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><d:multistatus xmlns:d="DAV:">&d;</d:multistatus>',
    "document type",
  ],
  [
    "an external entity",
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><d:multistatus xmlns:d="DAV:"/>',
    "document type",
  ],
  ["an entity of its own", multistatus([self, { href: `${FOLDER}&passwd;`, sizeBytes: 1 }]), "entity"],
  ["a folder above", multistatus([self, { href: "/dav/", sizeBytes: 1 }]), "not in the folder"],
  ["a file elsewhere", multistatus([self, { href: "/other/x", sizeBytes: 1 }]), "not in the folder"],
  ["a way up", multistatus([self, { href: `${FOLDER}../x`, sizeBytes: 1 }]), "not in the folder"],
  [
    "a way up in percent signs",
    multistatus([self, { href: `${FOLDER}%2e%2e%2fx`, sizeBytes: 1 }]),
    "not in the folder",
  ],
  ["a file further down", multistatus([self, { href: `${FOLDER}a/b`, sizeBytes: 1 }]), "not in the folder"],
  ["no address at all", multistatus([self, { href: "%E0%A4%A", sizeBytes: 1 }]), "not in the folder"],
  ["a tag without an end", `<d:multistatus xmlns:d="DAV:"><d:response a="${"x".repeat(200_000)}`, "too long"],
  ["a name without an end", multistatus([{ href: "/x".repeat(20_000) }]), "too long"],
  ["too deep a nest", `<d:multistatus xmlns:d="DAV:">${"<a>".repeat(1000)}`, "nested too deeply"],
  ["tags that do not match", '<d:multistatus xmlns:d="DAV:"><d:response></d:multistatus>', "do not match"],
  ["another encoding", '<?xml version="1.0" encoding="utf-16"?><d:multistatus xmlns:d="DAV:"/>', "UTF-8"],
  ["half of it", multistatus([self]).slice(0, -20), "too early"],
  ["a login page", "<html><body>Please log in</body></html>", "no WebDAV reply"],
  ["nothing", "", "too early"],
])("a list with %s is refused", async (_, body, words) => {
  await using it = await odd(answering(207, body));
  await expect(namesIn(it.storage)).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining(words) as string,
    hint: expect.stringMatching(/\w+/) as string,
  });
  // What is only cut off may be whole the next time.
  expect(it.delaysMs).toHaveLength(words === "too early" ? 2 : 0);
});

test("a list in which bytes are no UTF-8, and one file's entry that does not end, are refused", async () => {
  await using binary = await odd(answering(207, Buffer.from([0x3c, 0xff, 0xfe])));
  await expect(namesIn(binary.storage)).rejects.toMatchObject({ message: expect.stringContaining("UTF-8") as string });
  let count = 0;
  await using endless = await odd((_, answer) => {
    answer.writeHead(207).write('<d:multistatus xmlns:d="DAV:">');
    const more = (): void => {
      while (!answer.destroyed && answer.write("<d:a>".repeat(1) + " ".repeat(60_000) + "</d:a>")) count += 1;
      if (!answer.destroyed) answer.once("drain", more);
    };
    more();
    return true;
  });
  await expect(endless.storage.head("a")).rejects.toMatchObject({
    message: expect.stringContaining("longer than") as string,
  });
  expect(count).toBeLessThan(1000);
});

test("takes what other servers write: whole addresses, other prefixes, CDATA, names that are none of ours", async () => {
  const body = `<?xml version='1.0' encoding='UTF-8'?><!-- x --><multistatus xmlns="DAV:" xmlns:x="urn:x">
    <response><href>http://other.example${FOLDER.slice(0, -1)}</href><propstat><prop><resourcetype><collection/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response>
    <response><href><![CDATA[https://other.example:8443${FOLDER}b]]></href>
      <propstat><prop><getcontentlength x:y="&gt;">7</getcontentlength><x:unknown><x:deep>&#x41;&amp;</x:deep></x:unknown></prop><status>HTTP/1.1 200 OK</status></propstat>
      <propstat><prop><resourcetype><collection/></resourcetype></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>
    <response><href>${FOLDER}%61</href><propstat><prop><getcontentlength> 5 </getcontentlength></prop><status>HTTP/1.1 200</status></propstat></response>
    <response><href>${FOLDER}M%C3%BCll%20%26.txt</href><propstat><prop/><status>HTTP/1.1 200 OK</status></propstat></response>
  </multistatus>`;
  await using it = await odd(answering(207, body));
  const all = [];
  for await (const object of it.storage.list("")) all.push(object);
  expect(all).toMatchObject([
    { name: "a", sizeBytes: 5 },
    { name: "b", sizeBytes: 7 },
  ]);
});

test("a file whose size is not said is an error, not an empty object", async () => {
  const entry = `<d:response><d:href>${FOLDER}a</d:href><d:propstat><d:prop/><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>`;
  await using it = await odd(answering(207, `<d:multistatus xmlns:d="DAV:">${entry}</d:multistatus>`));
  await expect(namesIn(it.storage)).rejects.toMatchObject({ message: expect.stringContaining("size") as string });
  await expect(it.storage.head("a")).rejects.toMatchObject({ message: expect.stringContaining("size") as string });
});

test("a server that answers a range with the whole object is read up to the range's end", async () => {
  const bytes = randomBytes(64 * MIB);
  let sentBytes = 0;
  const withLength = (headers: OutgoingHttpHeaders): Spoil => {
    return (_: IncomingMessage, answer: ServerResponse) => {
      answer.writeHead(200, headers);
      const more = (): void => {
        let hasRoom = true;
        while (hasRoom && !answer.destroyed && sentBytes < bytes.length) {
          hasRoom = answer.write(bytes.subarray(sentBytes, sentBytes + 65_536));
          sentBytes += 65_536;
        }
        if (sentBytes >= bytes.length) answer.end();
        else answer.once("drain", more);
      };
      more();
      return true;
    };
  };
  for (const headers of [{ "content-length": String(bytes.length) }, {}]) {
    sentBytes = 0;
    await using it = await odd(withLength(headers));
    const found = await it.storage.read("a", { offset: 1_000_001, lengthBytes: 200_000 });
    expect(Buffer.compare(found, bytes.subarray(1_000_001, 1_200_001))).toBe(0);
    expect(sentBytes).toBeLessThan(32 * MIB);
    sentBytes = 0;
    await expect(it.storage.read("a", { offset: bytes.length - 1, lengthBytes: 2 })).rejects.toMatchObject({
      code: "corrupt",
    });
  }
});

test.each([
  ["another range", { "content-range": "bytes 5-9/100" }, "another range", 2],
  ["no word on which", {}, "which range", 0],
  ["a compressed body", { "content-range": "bytes 0-4/100", "content-encoding": "gzip" }, "gzip", 0],
])("a range that comes with %s is refused", async (_, headers, words, retryCount) => {
  await using it = await odd(answering(206, "12345", headers));
  await expect(it.storage.read("a", { offset: 0, lengthBytes: 5 })).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining(words) as string,
  });
  expect(it.delaysMs).toHaveLength(retryCount);
});

test("a read without a range takes no part of an object for the whole", async () => {
  await using it = await odd(answering(206, "12345", { "content-range": "bytes 0-4/100", "content-length": "5" }));
  await expect(it.storage.read("a")).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining("206") as string,
  });
});

test("a body whose end is the connection's is held against the size that the server says", async () => {
  const head = multistatus([{ href: `${FOLDER}a`, sizeBytes: 10 }]);
  let body = "12345";
  await using it = await odd((incoming, answer) => {
    if (incoming.method === "PROPFIND") return answering(207, head)(incoming, answer);
    incoming.socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`);
    return true;
  });
  const broken = { code: "storage_failed", message: expect.stringContaining("broke off") as string };
  await expect(it.storage.read("a")).rejects.toMatchObject(broken);
  await expect(it.storage.read("a", { offset: 2, lengthBytes: 6 })).rejects.toMatchObject(broken);
  expect(it.delaysMs).toHaveLength(4);
  body = "1234567890";
  expect(Buffer.from(await it.storage.read("a")).toString()).toBe(body);
  expect(Buffer.from(await it.storage.read("a", { offset: 2, lengthBytes: 6 })).toString()).toBe("345678");
});

test("reads one after the other go over one connection", async () => {
  const ports = new Set<number | undefined>();
  await using it = await odd((incoming, answer) => {
    ports.add(incoming.socket.remotePort);
    const isRange = incoming.headers.range !== undefined;
    const headers = { "content-length": "5", ...(isRange && { "content-range": "bytes 0-4/100" }) };
    return answering(isRange ? 206 : 200, "12345", headers)(incoming, answer);
  });
  for (let round = 0; round < 3; round += 1) {
    expect(await it.storage.read("a")).toHaveLength(5);
    expect(await it.storage.read("a", { offset: 0, lengthBytes: 5 })).toHaveLength(5);
  }
  expect(ports.size).toBe(1);
});

test("a list that names a file twice is refused", async () => {
  const file = { href: `${FOLDER}a`, sizeBytes: 1 };
  await using it = await odd(answering(207, multistatus([self, file, { href: `${FOLDER}b`, sizeBytes: 1 }, file])));
  await expect(namesIn(it.storage)).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining('"a" twice') as string,
  });
});

test("follows a redirect on its own host for what reads, a few times; for all else it says where it leads", async () => {
  await using it = await odd((incoming, answer) => {
    if (incoming.url!.includes("/moved/")) return answering(200, "there")(incoming, answer);
    return answering(301, "", { location: incoming.url!.replace("/dav/", "/dav/moved/") })(incoming, answer);
  });
  expect(Buffer.from(await it.storage.read("a")).toString()).toBe("there");
  await expect(it.storage.delete("a")).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining("/dav/moved/p/a") as string,
  });
  it.server.spoil = answering(302, "", { location: "/dav/p/again" });
  await expect(it.storage.read("a")).rejects.toMatchObject({ message: expect.stringContaining("elsewhere") as string });
});

test("takes its credentials to no other host", async () => {
  const seen: (string | undefined)[] = [];
  await using thief = await openSpoiler(null, (incoming, answer) => {
    seen.push(incoming.headers.authorization);
    return answering(200, "got it")(incoming, answer);
  });
  const location = `http://${thief.host}/p/a?secret=x`;
  await using it = await odd(answering(307, "", { location }));
  const error: unknown = await it.storage.read("a").catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "storage_failed", message: expect.stringContaining(thief.host) as string });
  expect((error as Error).message).not.toContain("secret");
  expect(seen).toEqual([]);
});

test("waits as long as a busy server asks, up to half a minute", async () => {
  for (const [text, fromMs, toMs] of [
    ["7", 6000, 7001],
    ["86400", 29_000, 30_001],
    [new Date(Date.now() + 9500).toUTCString(), 6000, 9500],
    ["soon", 0, 2000],
  ] as const) {
    await using it = await odd(answering(503, "", { "retry-after": text }));
    await expect(it.storage.read("a")).rejects.toMatchObject({ code: "storage_failed" });
    expect(it.delaysMs).toHaveLength(2);
    expect(it.delaysMs[0], text).toBeGreaterThanOrEqual(fromMs);
    expect(it.delaysMs[0], text).toBeLessThanOrEqual(toMs);
  }
});

test("free space is what the server says, and unknown where it says less than nothing", async () => {
  const quota = (text: string): string =>
    `<d:multistatus xmlns:d="DAV:"><d:response><d:href>${FOLDER}</d:href><d:propstat><d:prop><d:quota-available-bytes>${text}</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>`;
  await using it = await odd((incoming, answer) => {
    if (incoming.url === FOLDER) return false;
    return answering(207, quota("123456"))(incoming, answer);
  });
  expect(await it.storage.freeSpaceBytes()).toBe(123_456);
  it.server.spoil = answering(207, quota("-3"));
  expect(await it.storage.freeSpaceBytes()).toBe(null);
  it.server.spoil = answering(500, "");
  expect(await it.storage.freeSpaceBytes()).toBe(null);
});
