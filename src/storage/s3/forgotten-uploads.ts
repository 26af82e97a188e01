// When the answer to the beginning of an upload is lost, the storage has an upload of which nobody knows the id. Sent
// again, the request begins a second one; the first would stay, invisible and billed. Here it is looked for, by its name.

import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { TIDYING_ATTEMPTS_MAX } from "./put-object.ts";
import type { S3Requests } from "./s3-requests.ts";

/** Aborts all uploads under a name that nobody else may write. Never throws: what stays is named as a left-over. */
export async function abortForgottenUploads(requests: S3Requests, name: string): Promise<void> {
  const { Bucket, Key } = requests.keyOf(name);
  const facts = { action: `could not abort uploads of "${name}"`, attemptsMax: TIDYING_ATTEMPTS_MAX };
  const tidying = requests.run(facts, async (client, { signal }) => {
    const options = { abortSignal: signal };
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }), options);
    for (const { Key: found, UploadId } of Uploads) {
      if (found === Key) await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), options);
    }
  });
  await tidying.catch(() => undefined);
}
