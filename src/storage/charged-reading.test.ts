import { expect, test } from "vitest";

import { limitStorage } from "./limited-storage.ts";
import { isReadingCharged } from "./charged-reading.ts";
import { openStorage } from "./open-storage.ts";

test.each([
  ["https://s3.eu-central-1.amazonaws.com", true],
  ["https://bucket.s3.cn-north-1.amazonaws.com.cn/", true],
  ["https://shop.blob.core.windows.net", true],
  ["https://storage.googleapis.com", true],
  ["https://minio.example:9000", false],
  ["https://amazonaws.com.example", false],
  ["https://notamazonaws.com", false],
  ["http://127.0.0.1:10000/devstoreaccount1", false],
])("isReadingCharged(%s) is %s", (endpoint, expected) => {
  expect(isReadingCharged(endpoint)).toBe(expected);
});

const KEYS = { AWS_ACCESS_KEY_ID: "k", AWS_SECRET_ACCESS_KEY: "s", AZURE_STORAGE_KEY: "a2V5" };

test.each([
  ["s3://bucket/place?region=eu-central-1", true],
  ["s3://bucket/place?endpoint=https%3A%2F%2Fminio.example", false],
  ["s3://bucket/place?endpoint=https%3A%2F%2Fs3.us-east-1.amazonaws.com", true],
  ["azure://container/place?account=shop", true],
  ["azure://container/place?account=shop&endpoint=http%3A%2F%2F127.0.0.1%3A10000%2Fshop", false],
  ["gs://bucket/place", true],
  ["gs://bucket/place?endpoint=https%3A%2F%2Fgcs.example", false],
  ["sftp://user@host/place", false],
  ["webdav://host/place", false],
  ["/folder", false],
])("openStorage(%s): reading is charged for: %s, and behind caps too", async (location, expected) => {
  await using storage = await openStorage(location, { environment: { ...KEYS, HOME: "/nonexistent" } });
  expect(storage.isReadingCharged === true).toBe(expected);
  expect(limitStorage(storage, { downloadBytesPerSecond: 1 }).isReadingCharged).toBe(expected);
});
