// The storage contract on a real OpenSSH server.

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { describeStorage } from "./contract.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";

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
