// What a bucket's listing has to say of each object.

import { expect, test } from "vitest";
import type { S3Requests } from "./s3-requests.ts";
import { S3Storage } from "./s3-storage.ts";

/** A storage whose only answer is that listing. */
function listing(contents: readonly { readonly Key: string; readonly Size?: number }[]): S3Storage {
  const client = { send: async () => await Promise.resolve({ Contents: contents, IsTruncated: false }) };
  const requests: unknown = {
    location: { bucket: "b", prefix: "p/", endpoint: null },
    nameOf: (key: string) => key.slice("p/".length),
    run: async (_: unknown, work: (sender: unknown, attempt: unknown) => Promise<unknown>) => await work(client, {}),
  };
  return new S3Storage(requests as S3Requests);
}

async function namesOf(storage: S3Storage): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storage.list("runs/")) names.push(name);
  return names;
}

test("S3Storage.list() does not take an object whose size is not said for one that is not there", async () => {
  const found = await namesOf(listing([{ Key: "p/runs/a", Size: 0 }]));
  expect(found).toEqual(["runs/a"]);
  const silent = listing([{ Key: "p/runs/a", Size: 1 }, { Key: "p/runs/b" }]);
  await expect(namesOf(silent)).rejects.toMatchObject({
    code: "storage_failed",
    message: expect.stringContaining('"runs/b"') as string,
  });
});
