// Reads the bytes of an object, or a range of them, into one buffer of the length that it must have, and no byte more.

import { OperatingError } from "../../base/errors.ts";
import { READ_BYTES_MAX } from "../byte-range.ts";
import type { Attempt } from "../retrier.ts";
import type { ByteRange } from "../storage.ts";
import { isMissingBucket, statusOf } from "./gcs-errors.ts";
import type { GcsRequests } from "./gcs-requests.ts";
import type { HttpAnswer } from "./http-sender.ts";

/** What is read. */
interface ReadFacts {
  readonly action: string;
  readonly range: ByteRange | undefined;
}

/** Reads an object; the range has at least one byte. Throws as Storage.read() does. */
export async function readMedia(
  requests: GcsRequests,
  name: string,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const action = `could not read "${name}"`;
  const url = requests.objectUrl(name, { alt: "media" });
  const headers = range && { range: `bytes=${range.offset}-${range.offset + range.lengthBytes - 1}` };
  const facts = { action, sizeBytes: range?.lengthBytes ?? READ_BYTES_MAX, signal };
  return await requests.run(facts, async (attempt) => {
    const request = { method: "GET", url, ...(headers && { headers }) };
    try {
      return await readBody(await requests.send(request, attempt, [200, 206]), { action, range }, attempt);
    } catch (error) {
      if (statusOf(error) !== 404 || isMissingBucket(error)) throw error;
      throw new OperatingError("not_found", `${action}: it is not there`, { cause: error });
    }
  });
}

/** Throws "corrupt" for what is no range, or one that is too long to be read at once. */
/** A body that ends too early is retryable: it broke off. */
async function readBody(answer: HttpAnswer, facts: ReadFacts, attempt: Attempt): Promise<Uint8Array> {
  const { body } = answer;
  try {
    const lengthBytes = expectedLength(answer, facts);
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    let filled = 0;
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      attempt.alive();
      if (filled + piece.length > lengthBytes) throw wrongAnswer(facts, "it is longer than it says");
      bytes.set(piece, filled);
      filled += piece.length;
    }
    if (filled === lengthBytes) return bytes;
    throw wrongAnswer(facts, `the connection broke off after ${filled} of ${lengthBytes} bytes`);
  } finally {
    body.destroy();
  }
}

function expectedLength({ headers, status }: HttpAnswer, facts: ReadFacts): number {
  const { action, range } = facts;
  if (range === undefined && status !== 200) throw wrongAnswer(facts, "it is a part of what was asked for");
  if (range === undefined) return wholeLength(headers["content-length"], action);
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(headers["content-range"] ?? "");
  if (status !== 206 || match === null) {
    throw new OperatingError("storage_failed", `${action}: the storage does not read ranges`);
  }
  const [first, last, total] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (first !== range.offset) throw wrongAnswer(facts, "it is another range than was asked for");
  const end = range.offset + range.lengthBytes;
  // Cut off at the object's own end: it is too short. Cut off before: the answer is wrong.
  if (last + 1 < end && total === last + 1) {
    throw new OperatingError("corrupt", `${action}: it ends at ${total}, before byte ${end}`);
  }
  if (last + 1 !== end) throw wrongAnswer(facts, "it is another range than was asked for");
  return range.lengthBytes;
}

function wholeLength(said: string | undefined, action: string): number {
  const lengthBytes = /^\d{1,16}$/.test(said ?? "") ? Number(said) : -1;
  if (lengthBytes < 0) throw new OperatingError("storage_failed", `${action}: the answer does not say its length`);
  if (lengthBytes <= READ_BYTES_MAX) return lengthBytes;
  throw new OperatingError("corrupt", `${action}: ${lengthBytes} bytes are more than may be read at once`);
}

function wrongAnswer({ action }: ReadFacts, reason: string): OperatingError {
  return new OperatingError("storage_failed", `${action}: ${reason}`, { retryable: true });
}
