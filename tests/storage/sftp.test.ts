// The storage contract on a real OpenSSH server.

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage, refuseUnconditionalStorage } from "../../src/storage/index.ts";
import { describeStorage, namesIn, sha256, stream } from "./contract.ts";
import { startProFtpd, startRclone } from "./sftp-other-servers.ts";
import type { OtherServer } from "./sftp-other-servers.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";

if (process.env["CAIRN_TEST_STORAGES"] !== "full") {
  process.stderr.write("storage tests: SFTP on OpenSSH; ProFTPD, rclone, 100,000 names: npm run test:storages\n");
}
const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

describe("OpenSSH", () => {
  let server: SftpServer;
  beforeAll(async () => {
    server = await SftpServer.start();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  describeStorage("sftp on OpenSSH", {
    open: (place) => openStorage(server.uriAt(place), nearSurroundings()),
    fill: async (place, name) => {
      const path = join(server.home, place, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, name);
    },
    hasAtomicUploads: true,
    manyNames: isFull ? 100_000 : 2500,
    pageNames: 100,
  });
});

describe.runIf(isFull)("ProFTPD", () => {
  let server: OtherServer;
  beforeAll(async () => {
    server = await startProFtpd();
    return async () => await server[Symbol.asyncDispose]();
  });

  describeStorage("sftp on ProFTPD", {
    open: (place) => openStorage(server.uriAt(place), nearSurroundings(server.environment)),
    hasAtomicUploads: true,
    manyNames: 300,
    pageNames: 100,
  });
});

describe.runIf(isFull)("rclone", () => {
  test("replaces an object that must be created only once: init and storage test refuse it", async () => {
    await using server = await startRclone();
    await using storage = await openStorage(server.uriAt("place"), nearSurroundings(server.environment));
    const refusal = await refuseUnconditionalStorage(storage).then(() => null, (error: unknown) => error); // prettier-ignore
    expect(refusal).toMatchObject({ code: "storage_failed" });
    expect(String(refusal)).toMatch(/replaces an object that must be created only once/);
    // What it can do, it does right.
    const bytes = Buffer.alloc(9 * MIB, 7);
    expect(await stream(await storage.openWriter("a/large"), bytes, MIB)).toEqual({
      name: "a/large",
      sizeBytes: 9 * MIB,
    });
    expect(await namesIn(storage)).toEqual(["a/large"]);
    expect(sha256(await storage.read("a/large")).equals(sha256(bytes))).toBe(true);
  });
});
