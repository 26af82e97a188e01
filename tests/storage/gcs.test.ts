// The storage contract on our own server, which follows Google's documentation; and that server under Google's own client.

import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { Storage as GoogleClient } from "@google-cloud/storage";
import type { Bucket } from "@google-cloud/storage";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import { collect, describeStorage, namesIn, sha256, stream } from "./contract.ts";
import { GCS_BUCKET } from "./gcs-server.ts";
import { gcsSurroundings, gcsUriAt, openGcsBench } from "./gcs-support.ts";
import type { GcsBench } from "./gcs-support.ts";

const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

let bench: GcsBench;
beforeAll(async () => {
  bench = await openGcsBench();
});
afterAll(async () => await bench[Symbol.asyncDispose]());

describeStorage("gs on our own server", {
  open: async (place) => await bench.open(place),
  fill: async (place, name) => {
    bench.server.bucket.insert({ name: `${place}/${name}` }, Buffer.from(name), { ifGenerationMatch: null });
    await Promise.resolve();
  },
  hasAtomicUploads: true,
  hidesUploads: true,
  manyNames: isFull ? 100_000 : 2500,
  pageNames: 1000,
});

const newPlace = (): string => `place-${randomBytes(4).toString("hex")}`;
const bytes = randomBytes(9 * MIB + 5);

describe("gs", () => {
  test("an upload that is aborted is forgotten by the storage at once; none is ever a left-over", async () => {
    await using storage = await bench.open(newPlace());
    const before = bench.server.bucket.openUploads();
    const writer = await storage.openWriter("x");
    await writer.write(Buffer.alloc(20 * MIB));
    await writer.write(Buffer.alloc(1));
    expect(bench.server.bucket.openUploads()).toBe(before + 1);
    expect(await collect(storage.leftovers())).toEqual([]);
    await writer.abort();
    expect(bench.server.bucket.openUploads()).toBe(before);
    await expect(storage.deleteLeftover("x?upload_id=1")).rejects.toMatchObject({ code: "usage" });
  });

  test("a listing tells when another object stands under a name", async () => {
    await using storage = await bench.open(newPlace());
    await storage.put("a", Buffer.from("1"));
    const [before] = await collect(storage.list(""));
    await storage.put("a", Buffer.from("2"));
    const [after] = await collect(storage.list(""));
    expect([before, after]).toMatchObject([{ name: "a", sizeBytes: 1 }, { name: "a", sizeBytes: 1 }]); // prettier-ignore
    expect(before).not.toEqual(after);
  });

  test("storage class, key and paying project are as the URI says; small objects keep the usual class", async () => {
    const place = newPlace();
    const kmsKey = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";
    await using storage = await bench.open(place, { "storage-class": "NEARLINE", "kms-key": kmsKey, project: "payer" });
    bench.server.queries.length = 0;
    await storage.put("small", bytes.subarray(0, 1000));
    await stream(await storage.openWriter("large"), bytes, MIB);
    await namesIn(storage);
    const look = (name: string): unknown => bench.server.bucket.objects.get(`${place}/${name}`)?.fields;
    expect(look("small")).toMatchObject({ kmsKeyName: kmsKey, contentType: "application/octet-stream" });
    expect(look("small")).not.toHaveProperty("storageClass");
    expect(look("large")).toMatchObject({ kmsKeyName: kmsKey, storageClass: "NEARLINE" });
    const ofObjects = bench.server.queries.filter((query) => !query.has("upload_id"));
    expect(ofObjects.map((query) => query.get("userProject"))).toEqual(ofObjects.map(() => "payer"));
  });

  test("an emulator is found by STORAGE_EMULATOR_HOST, and gets no credentials", async () => {
    const { endpoint } = bench.server;
    const { host } = new URL(endpoint);
    const environment = { ...(await bench.keys("writer")), STORAGE_EMULATOR_HOST: host };
    await using storage = await openStorage(`gs://${GCS_BUCKET}/x`, gcsSurroundings(environment));
    expect(storage.description).toBe(`gs://${GCS_BUCKET}/x at ${endpoint}`);
    await expect(storage.read("a")).rejects.toMatchObject({
      code: "permission_denied",
      detail: expect.stringContaining("Anonymous caller") as string,
    });
    await using named = await openStorage(gcsUriAt(endpoint, "x"), gcsSurroundings(environment));
    expect(await named.head("a")).toBe(null);
  });
});

describe("the test server, under Google's own client", () => {
  let bucket: Bucket;
  const usual = EventEmitter.defaultMaxListeners;
  afterAll(() => void (EventEmitter.defaultMaxListeners = usual));
  beforeAll(() => {
    // That client adds more to one stream than Node finds usual, and Node warns.
    EventEmitter.defaultMaxListeners = 2 * usual;
    const client = new GoogleClient({ apiEndpoint: bench.server.endpoint, retryOptions: { autoRetry: false } });
    client.interceptors.push({
      request: (options) => {
        const authorization = `Bearer ${bench.server.accounts.issue("writer")}`;
        return { uri: "", ...options, headers: { ...options.headers, authorization } };
      },
    });
    bucket = client.bucket(GCS_BUCKET);
  });

  test.each([true, false])("writes, confirms, reads, lists, deletes (resumable: %s)", async (resumable) => {
    const place = newPlace();
    const file = bucket.file(`${place}/a b`);
    const conditions = { preconditionOpts: { ifGenerationMatch: 0 } };
    await file.save(bytes, { resumable, ...conditions, chunkSize: 8 * MIB, validation: "crc32c" });
    await expect(file.save(bytes, { resumable, ...conditions })).rejects.toMatchObject({ code: 412 });
    const [whole] = await file.download({ validation: "crc32c" });
    expect(sha256(whole).equals(sha256(bytes))).toBe(true);
    const [part] = await file.download({ start: 1000, end: 2999 });
    expect(Buffer.compare(part, bytes.subarray(1000, 3000))).toBe(0);
    const [metadata] = await file.getMetadata();
    expect(metadata).toMatchObject({ size: String(bytes.length), name: `${place}/a b` });
    for (const name of ["b", "c"]) await bucket.file(`${place}/${name}`).save("x", { resumable: false });
    const [files] = await bucket.getFiles({ prefix: `${place}/`, maxResults: 2 });
    expect(files.map(({ name }) => name)).toEqual([`${place}/a b`, `${place}/b`]);
    await file.delete();
    expect(await file.exists()).toEqual([false]);
  });
});
