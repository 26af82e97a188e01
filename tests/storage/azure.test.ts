// The storage contract on Azurite, and what is Azure's own.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { blockId } from "../../src/storage/azure/staged-blocks.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { isFull, KEYS, startAzurite, surroundingsOf, uriAt } from "./azure-servers.ts";
import type { AzureServer } from "./azure-servers.ts";
import { collect, describeStorage, namesIn, sha256, stream } from "./contract.ts";

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

  const openAt = async (place: string, settings: Readonly<Record<string, string>> = {}): Promise<Storage> =>
    await openStorage(uriAt(server.endpoint, place, settings), surroundingsOf(KEYS));
  const newPlace = (): string => `own-${randomBytes(4).toString("hex")}`;
  const bytes = randomBytes(9 * MIB);

  test("a prefix may hold what a URL must encode", async () => {
    const place = `${newPlace()}/ä b+c&d%25/e`;
    await using storage = await openAt(encodeURI(place).replace("&", "%26"));
    await storage.put("x/y", Buffer.from("1"), { ifAbsent: true });
    await stream(await storage.openWriter("z"), bytes, MIB);
    expect(await namesIn(storage)).toEqual(["x/y", "z"]);
    expect(await storage.head("x/y")).toEqual({ name: "x/y", sizeBytes: 1 });
    expect(Buffer.from(await storage.read("x/y")).toString()).toBe("1");
    expect((await server.container.getBlobClient(`${place}/x/y`).getProperties()).contentLength).toBe(1);
  });

  test("large objects go into the tier of the URI, small ones stay in the usual one; both bear their SHA-256", async () => {
    const place = newPlace();
    await using storage = await openAt(place, { "access-tier": "cool" });
    const look = async (name: string): Promise<unknown> => {
      const said = await server.container.getBlobClient(`${place}/${name}`).getProperties();
      return [said.accessTier, said.metadata?.["cairnsha256"]];
    };
    const small = bytes.subarray(0, 1000);
    await stream(await storage.openWriter("small"), small, MIB);
    await stream(await storage.openWriter("large"), bytes, MIB);
    await storage.put("put", bytes.subarray(0, MIB));
    expect(await look("small")).toEqual(["Hot", sha256(small).toString("hex")]);
    expect(await look("large")).toEqual(["Cool", sha256(bytes).toString("hex")]);
    expect(await look("put")).toEqual(["Cool", undefined]);
  });

  test("an unfinished upload is dead after five days; one that began since keeps what lies under its name", async () => {
    const place = newPlace();
    await using storage = await openAt(place);
    const stage = async (name: string, days: number): Promise<string> => {
      const upload = { mark: randomBytes(12).toString("hex"), beganAtMs: Date.now() - days * 86_400_000 };
      await server.container.getBlockBlobClient(`${place}/${name}`).stageBlock(blockId(upload, 1), "abc", 3);
      return upload.mark;
    };
    const [old, young, older] = [await stage("old", 5.1), await stage("young", 4.9), await stage("both", 6)];
    expect(await collect(storage.leftovers())).toEqual([
      { name: `both?blocks=${older}`, sizeBytes: 3, isDead: true },
      { name: `old?blocks=${old}`, sizeBytes: 3, isDead: true },
      { name: `young?blocks=${young}`, sizeBytes: 3, isDead: false },
    ]);
    const newest = await stage("both", 0);
    for (const name of [`both?blocks=${older}`, `old?blocks=${old}`]) await storage.deleteLeftover(name);
    expect(await collect(storage.leftovers())).toEqual([
      { name: `both?blocks=${newest}`, sizeBytes: 6, isDead: false },
      { name: `young?blocks=${young}`, sizeBytes: 3, isDead: false },
    ]);
  });

  test("blocks of other programs are left alone, and told of where they are in the way", async () => {
    const place = newPlace();
    await using storage = await openAt(place);
    const theirs = server.container.getBlockBlobClient(`${place}/theirs`);
    await theirs.stageBlock(Buffer.from("1").toString("base64"), "abc", 3);
    expect(await collect(storage.leftovers())).toEqual([]);
    await expect(stream(await storage.openWriter("theirs"), bytes, MIB)).rejects.toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("another program") as string,
    });
    expect((await theirs.getBlockList("uncommitted")).uncommittedBlocks).toHaveLength(1);
  });
});
