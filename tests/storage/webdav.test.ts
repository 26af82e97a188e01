// The storage contract on real WebDAV servers.

import { writeFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { describeStorage } from "./contract.ts";
import { isFull, startApache, surroundingsOf, uriAt } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";

describe("Apache", () => {
  let server: WebdavServer;
  beforeAll(async () => {
    server = await startApache();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  describeStorage("webdav on Apache", {
    open: (place) => openStorage(uriAt(server.host, place), surroundingsOf()),
    fill: async (place, name) => {
      const path = join(server.folder, place, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, name);
    },
    hasAtomicUploads: true,
    manyNames: isFull ? 100_000 : 3000,
    pageNames: 1000,
  });
});
