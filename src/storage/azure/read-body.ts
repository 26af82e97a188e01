// Reads the body of an answer into one buffer of the length that it must have, and no byte more.

import type { BlobDownloadResponseParsed } from "@azure/storage-blob";
import type { Readable } from "node:stream";
import { OperatingError } from "../../base/errors.ts";
import type { Attempt } from "../retrier.ts";
import type { ByteRange } from "../storage.ts";

/** What is read, for messages. */
export interface ReadFacts {
  readonly action: string;
  readonly range: ByteRange | undefined;
  readonly lengthBytesMax: number;
}

/** The bytes. A body that ends too early is retryable: it broke off. Throws "corrupt" where the object itself is too short. */
export async function readBody(
  output: BlobDownloadResponseParsed,
  facts: ReadFacts,
  attempt: Attempt,
): Promise<Uint8Array> {
  const body = output.readableStreamBody as Readable | undefined;
  if (body === undefined) throw new OperatingError("storage_failed", `${facts.action}: the answer has no body`);
  // What is left to come when it is destroyed, may come as an error.
  body.on("error", () => undefined);
  try {
    const lengthBytes = expectedLength(output, facts);
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    let filled = 0;
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        attempt.alive();
        if (filled + piece.length > lengthBytes) throw wrongAnswer(facts, "it is longer than it says");
        bytes.set(piece, filled);
        filled += piece.length;
      }
    } catch (error) {
      // The client's own words for a body that ends too early are not for people.
      if (error instanceof OperatingError) throw error;
    }
    if (filled === lengthBytes) return bytes;
    throw wrongAnswer(facts, `the connection broke off after ${filled} of ${lengthBytes} bytes`);
  } finally {
    body.destroy();
  }
}

function expectedLength(output: BlobDownloadResponseParsed, { action, lengthBytesMax, range }: ReadFacts): number {
  const { contentLength: said, contentRange: saidRange } = output;
  if (range === undefined) {
    if (said === undefined) throw new OperatingError("storage_failed", `${action}: the answer does not say its length`);
    if (said <= lengthBytesMax) return said;
    throw new OperatingError("corrupt", `${action}: ${said} bytes are more than may be read at once`);
  }
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(saidRange ?? "");
  if (match === null) throw new OperatingError("storage_failed", `${action}: the storage does not read ranges`);
  const [first, last, total] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (first !== range.offset) throw wrongAnswer({ action }, "it is another range than was asked for");
  const end = range.offset + range.lengthBytes;
  // Cut off at the object's own end: it is too short. Cut off before: the answer is wrong.
  if (last + 1 < end && total === last + 1) {
    throw new OperatingError("corrupt", `${action}: it ends at ${total}, before byte ${end}`);
  }
  if (last + 1 !== end) throw wrongAnswer({ action }, "it is another range than was asked for");
  return range.lengthBytes;
}

function wrongAnswer({ action }: { readonly action: string }, reason: string): OperatingError {
  return new OperatingError("storage_failed", `${action}: ${reason}`, { retryable: true });
}
