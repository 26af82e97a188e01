// Begins an upload in parts. Sent again, the request begins another upload, and one whose id nobody knows stays, empty, until
// left-overs are removed (s3-storage.ts). So an answer is still awaited for a while when its request was given up.
// Uploads are not looked for by their name: there, nothing tells them from those of another writer at work on the same object.

import { CreateMultipartUploadCommand } from "@aws-sdk/client-s3";
import type { CreateMultipartUploadCommandInput } from "@aws-sdk/client-s3";
import { OperatingError } from "../../base/errors.ts";
import type { RequestFacts } from "../retrier.ts";
import type { S3Requests } from "./s3-requests.ts";

const LATE_ANSWER_MS_MAX = 5000;

/** See the head of this file. */
export class UploadBeginning {
  readonly #requests: S3Requests;
  readonly #ids = new Set<string>();
  readonly #awaited = new Set<Promise<void>>();

  constructor(requests: S3Requests) {
    this.#requests = requests;
  }

  /** Begins the upload, and gives its id. */
  async begin(facts: RequestFacts, input: CreateMultipartUploadCommandInput): Promise<string> {
    return await this.#requests.run(facts, async (client, { signal }) => {
      signal.throwIfAborted();
      const end = new AbortController();
      let limit: NodeJS.Timeout | undefined;
      signal.addEventListener("abort", () => (limit = setTimeout(() => end.abort(signal.reason), LATE_ANSWER_MS_MAX)));
      const sending = client.send(new CreateMultipartUploadCommand(input), { abortSignal: end.signal });
      const noting = sending
        .then(({ UploadId }) => void (UploadId !== undefined && this.#ids.add(UploadId)))
        .catch(() => undefined)
        .finally(() => {
          clearTimeout(limit);
          this.#awaited.delete(noting);
        });
      this.#awaited.add(noting);
      const { UploadId } = await sending;
      if (UploadId !== undefined) return UploadId;
      throw new OperatingError("storage_failed", `${facts.action}: the upload got no id`);
    });
  }

  /** The ids of all uploads that were begun, as far as the storage has said them; waits for answers that may still come. */
  async ids(): Promise<readonly string[]> {
    await Promise.all(this.#awaited);
    return [...this.#ids];
  }
}
