// Asks for one page of names. The AWS client signs, sends, and makes errors of what is no success; the page itself is read
// here (list-page.ts), and by the AWS client only where it is written in an unusual way. Memory: one answer.

import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import type { ListObjectsV2CommandInput, ListObjectsV2CommandOutput, S3Client } from "@aws-sdk/client-s3";
import type { Readable } from "node:stream";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Attempt } from "../retrier.ts";
import { readListPage } from "./list-page.ts";
import type { ListPage } from "./list-page.ts";

/** A thousand keys of 1,024 bytes, each byte written as an entity, and as much again. */
const PAGE_BYTES_MAX = 16 * MIB;
/** What the AWS client is given to read of a page that was read already. */
const NOTHING = "<ListBucketResult/>";
const STATUS_DONE = 200;

interface Answer {
  statusCode: number;
  body?: Readable | Uint8Array;
}

/** Sends the request. Throws what the AWS client throws, and OperatingError "storage_failed" for an answer that is too long. */
export async function listPage(
  client: S3Client,
  input: ListObjectsV2CommandInput,
  attempt: Attempt,
): Promise<ListPage> {
  const command = new ListObjectsV2Command(input);
  let page: ListPage | null = null;
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const answer = result.response as Answer;
      const { body, statusCode } = answer;
      if (statusCode !== STATUS_DONE || body === undefined || body instanceof Uint8Array) return result;
      const bytes = await collect(body, attempt);
      page = readListPage(textOf(bytes));
      answer.body = page === null ? bytes : Buffer.from(NOTHING);
      return result;
    },
    { step: "deserialize", priority: "low", name: "readListPage" },
  );
  const output = await client.send(command, { abortSignal: attempt.signal });
  return page ?? pageOf(output);
}

function pageOf({ Contents, IsTruncated, NextContinuationToken }: ListObjectsV2CommandOutput): ListPage {
  const keys = (Contents ?? []).map(({ ETag, Key = "", Size }) => {
    return { key: Key, sizeBytes: Size ?? null, tag: ETag ?? null };
  });
  return { keys, isTruncated: IsTruncated === true, nextToken: NextContinuationToken ?? null };
}

async function collect(body: Readable, attempt: Attempt): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      attempt.alive();
      sizeBytes += piece.length;
      if (sizeBytes > PAGE_BYTES_MAX) {
        throw new OperatingError("storage_failed", "a page of the storage's list of names is too long");
      }
      pieces.push(piece);
    }
  } finally {
    body.destroy();
  }
  return Buffer.concat(pieces);
}

/** "", which is no page, for what is not in UTF-8. */
function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return "";
  }
}
