// The storage contract on real S3 servers.

import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import {
  CreateBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
} from "@aws-sdk/client-s3";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import { readListPage } from "../../src/storage/s3/list-page.ts";
import type { Storage } from "../../src/storage/index.ts";
import { describeStorage, namesIn, sha256, stream } from "./contract.ts";
import { BUCKET, plainClient, s3Servers, surroundingsOf, uriAt } from "./s3-servers.ts";
import type { S3Server } from "./s3-servers.ts";

describe.each(s3Servers())("$name", ({ checksRights, hasAtomicUploads, manyNames, name, start }) => {
  let server: S3Server;
  let client: S3Client;
  beforeAll(async () => {
    server = await start();
    client = plainClient(server.endpoint);
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  describeStorage(`s3 on ${name}`, {
    open: (place) => openStorage(uriAt(server.endpoint, place), surroundingsOf(server.keys)),
    fill: async (place, name) => {
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: `${place}/${name}`, Body: name }));
    },
    hasAtomicUploads,
    manyNames,
    pageNames: 1000,
  });

  const bytes = randomBytes(9 * MIB);
  const openAt = async (settings: Record<string, string>, bucket = BUCKET): Promise<Storage> => {
    const uri = uriAt(server.endpoint, `settings-${randomBytes(4).toString("hex")}`, settings);
    return await openStorage(uri.replace(BUCKET, bucket), surroundingsOf(server.keys));
  };

  test.each(["sha256", "crc32", "md5"])(
    "checksum=%s: written in one request and in parts, confirmed",
    async (checksum) => {
      await using storage = await openAt({ checksum });
      await storage.put("small", bytes.subarray(0, 1000), { ifAbsent: true });
      await stream(await storage.openWriter("large", { ifAbsent: true }), bytes, MIB);
      expect(sha256(await storage.read("large")).equals(sha256(bytes))).toBe(true);
    },
  );

  test("a page of names is read as the AWS client reads it, also with keys that are no names of objects", async () => {
    const place = `page-${randomBytes(4).toString("hex")}/`;
    const keys = ["a&b", "a&amp;b", "<a>", '"a"', "'a'", "a b", "a+b", "a%20b", "ä€😀", "a/b"].map(
      (key) => place + key,
    );
    for (const Key of keys) await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: Key }));
    for (const MaxKeys of [1000, 3]) {
      const command = new ListObjectsV2Command({ Bucket: BUCKET, Prefix: place, MaxKeys });
      let text = "";
      command.middlewareStack.add(
        (next) => async (args) => {
          const result = await next(args);
          const answer = result.response as { body: Readable | Uint8Array };
          const bytes = await buffer(answer.body as Readable);
          text = bytes.toString();
          answer.body = bytes;
          return result;
        },
        { step: "deserialize", priority: "low" },
      );
      const { Contents = [], IsTruncated, NextContinuationToken } = await client.send(command);
      expect(readListPage(text)).toEqual({
        keys: Contents.map(({ ETag, Key, Size }) => ({ key: Key, sizeBytes: Size, tag: ETag })),
        isTruncated: IsTruncated,
        nextToken: NextContinuationToken ?? null,
      });
      expect(Contents.map(({ Key }) => Key)).toEqual(keys.toSorted().slice(0, MaxKeys));
    }
  });

  test("a bucket with object lock is written to, listed, and deleted from as any other", async () => {
    const bucket = `locked-${randomBytes(4).toString("hex")}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
    const Rule = { DefaultRetention: { Mode: "COMPLIANCE", Days: 1 } } as const;
    const ObjectLockConfiguration = { ObjectLockEnabled: "Enabled", Rule } as const;
    await client.send(new PutObjectLockConfigurationCommand({ Bucket: bucket, ObjectLockConfiguration }));
    await using storage = await openAt({}, bucket);
    await storage.put("small", bytes.subarray(0, 1000), { ifAbsent: true });
    await stream(await storage.openWriter("large", { ifAbsent: true }), bytes, MIB);
    expect(await namesIn(storage)).toEqual(["large", "small"]);
    await storage.delete("large");
    expect(await namesIn(storage)).toEqual(["small"]);
    await storage.put("large", bytes.subarray(0, 10), { ifAbsent: true });
    expect(await storage.head("large")).toEqual({ name: "large", sizeBytes: 10 });
  });

  const clockTests = (): void => {
    test.each([-1, 1])("a clock that is %d days off is no obstacle", async (days) => {
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + days * 86_400_000 });
      try {
        for (const work of [
          (storage: Storage) => storage.put("x", bytes.subarray(0, 10), { ifAbsent: true }),
          (storage: Storage) => storage.head("none"),
          (storage: Storage) => namesIn(storage),
        ]) {
          await using storage = await openAt({});
          await work(storage);
        }
      } finally {
        vi.useRealTimers();
      }
    });
  };
  // moto looks at no times.
  if (checksRights) clockTests();

  // The others know neither that class nor a key store, unless they are set up for them.
  if (name !== "moto") return;
  test("storage class and encryption by the storage are as the URI says; small objects keep the usual class", async () => {
    await using storage = await openAt({ "storage-class": "STANDARD_IA", sse: "AES256" });
    const place = /settings-\w+/.exec(storage.description)?.[0];
    await storage.put("small", bytes.subarray(0, 1000));
    await stream(await storage.openWriter("large"), bytes, MIB);
    const look = async (object: string): Promise<unknown> => {
      const said = await client.send(new HeadObjectCommand({ Bucket: BUCKET, Key: `${place}/${object}` }));
      return [said.StorageClass ?? "STANDARD", said.ServerSideEncryption];
    };
    expect(await look("small")).toEqual(["STANDARD", "AES256"]);
    expect(await look("large")).toEqual(["STANDARD_IA", "AES256"]);
  });
});
