// The storage contract on Azurite, and what is Azure's own.

import { afterAll, beforeAll, describe } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { isFull, KEYS, startAzurite, surroundingsOf, uriAt } from "./azure-servers.ts";
import type { AzureServer } from "./azure-servers.ts";
import { describeStorage } from "./contract.ts";

describe("Azurite", () => {
  let server: AzureServer;
  beforeAll(async () => void (server = await startAzurite()));
  afterAll(async () => await server[Symbol.asyncDispose]());

  describeStorage("azure on Azurite", {
    open: (place) => openStorage(uriAt(server.endpoint, place), surroundingsOf(KEYS)),
    fill: async (place, name) => {
      await server.container.getBlockBlobClient(`${place}/${name}`).upload(name, name.length);
    },
    hasAtomicUploads: true,
    manyNames: isFull ? 100_000 : 1010,
    pageNames: 1000,
  });
});
