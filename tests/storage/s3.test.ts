// The storage contract on real S3 servers.

import { PutObjectCommand } from "@aws-sdk/client-s3";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { describeStorage } from "./contract.ts";
import { BUCKET, plainClient, s3Servers, surroundingsOf, uriAt } from "./s3-servers.ts";
import type { S3Server } from "./s3-servers.ts";

describe.each(s3Servers())("$name", ({ hasAtomicUploads, manyNames, name, start }) => {
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
});
