// Objects in a bucket of S3, or of a server that speaks its protocol. Writing: put-object.ts, s3-writer.ts.
// Reading needs s3:GetObject and s3:ListBucket alone. Source: Amazon S3 API Reference.

import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
} from "@aws-sdk/client-s3";
import type { MultipartUpload } from "@aws-sdk/client-s3";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { checkRange, READ_BYTES_MAX } from "../byte-range.ts";
import { isReadingCharged } from "../charged-reading.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { writeThrough } from "../write-through.ts";
import type { ListPage } from "./list-page.ts";
import { listPage } from "./list-request.ts";
import { newWrite, putConfirmed } from "./put-object.ts";
import { readBody } from "./read-body.ts";
import type { S3Requests } from "./s3-requests.ts";
import { S3Writer } from "./s3-writer.ts";

/** What put() sends in one request; larger ones go in parts. */
const PUT_BYTES_MAX = 64 * MIB;
/** S3 lists no more at a time; some servers list fewer. */
const PAGE_NAMES_MAX = 1000;
/** A writer gives up after three days (s3-writer.ts), so what is older has none. */
const LEFTOVER_DEAD_AFTER_MS = 7 * 24 * 3600 * 1000;
/** Older than Cairn: a server that does not tell when uploads began, or somebody else's upload. */
const LEFTOVER_BEGAN_MIN = Date.UTC(2026, 0, 1);
const LEFTOVER_MARK = "?uploadId=";
const UPLOAD_ID_LENGTH_MAX = 2048;

/** See the head of this file. */
export class S3Storage implements Storage {
  readonly description: string;
  readonly isReadingCharged: boolean;
  readonly #requests: S3Requests;

  constructor(requests: S3Requests) {
    const { bucket, endpoint, prefix } = requests.location;
    this.#requests = requests;
    this.description = `s3://${bucket}/${prefix.slice(0, -1)}${endpoint === null ? "" : ` at ${endpoint}`}`;
    this.isReadingCharged = endpoint === null || isReadingCharged(endpoint);
  }

  get retryCount(): number {
    return this.#requests.retryCount;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    checkObjectName(name);
    options.signal?.throwIfAborted();
    return await Promise.resolve(new S3Writer(this.#requests, newWrite(name, options)));
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    const write = newWrite(name, options);
    if (bytes.length <= PUT_BYTES_MAX) return await putConfirmed(this.#requests, write, bytes);
    return await writeThrough(await this.openWriter(name, options), bytes);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const key = this.#requests.keyOf(name);
    const action = `could not read "${name}"`;
    if (range !== undefined) checkRange(action, range);
    if (range?.lengthBytes === 0) return await this.#readNothing(name, signal);
    const Range = range && `bytes=${range.offset}-${range.offset + range.lengthBytes - 1}`;
    const facts = { action, sizeBytes: range?.lengthBytes ?? READ_BYTES_MAX, signal };
    return await this.#requests.run(facts, async (client, attempt) => {
      const output = await client.send(new GetObjectCommand({ ...key, Range }), { abortSignal: attempt.signal });
      return await readBody(output, { action, range, lengthBytesMax: READ_BYTES_MAX }, attempt);
    });
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const said = await this.#requests.head(name, signal);
    if (said === null) return null;
    if (said.ContentLength !== undefined) return { name, sizeBytes: said.ContentLength };
    throw new OperatingError("storage_failed", `could not look at "${name}": the storage does not say its size`);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    let last = "";
    for await (const page of this.#pages(prefix, signal)) {
      for (const { key, sizeBytes, tag } of page.keys) {
        const name = this.#requests.nameOf(key);
        if (name === null || !isObjectName(name)) continue;
        if (sizeBytes === null)
          throw new OperatingError("storage_failed", `the storage does not say the size of "${name}"`);
        if (name <= last) throw new OperatingError("storage_failed", "the storage does not list names in their order");
        last = name;
        yield { name, sizeBytes, ...(tag !== null && { version: tag }) };
      }
    }
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    const key = this.#requests.keyOf(name);
    await absentIsFine(
      this.#requests.run({ action: `could not delete "${name}"`, signal }, async (client, attempt) => {
        await client.send(new DeleteObjectCommand(key), { abortSignal: attempt.signal });
      }),
    );
  }

  /** Who may only read objects may not list uploads: "permission_denied". */
  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    for await (const { Initiated, Key = "", UploadId = "" } of this.#uploads(signal)) {
      const name = this.#requests.nameOf(Key);
      if (name === null || !isObjectName(name) || UploadId === "") continue;
      const sizeBytes = await this.#uploadSize({ Key, UploadId }, signal);
      if (sizeBytes === null) continue;
      yield { name: `${name}${LEFTOVER_MARK}${UploadId}`, sizeBytes, isDead: isDead(Initiated?.getTime() ?? 0) };
    }
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    const [objectName = "", UploadId = ""] = name.split(LEFTOVER_MARK, 2);
    if (UploadId === "" || UploadId.length > UPLOAD_ID_LENGTH_MAX) {
      throw new OperatingError("usage", `"${name}" is no left-over`);
    }
    const key = { ...this.#requests.keyOf(objectName), UploadId };
    await absentIsFine(
      this.#requests.run({ action: `could not delete "${name}"`, signal }, async (client, attempt) => {
        await client.send(new AbortMultipartUploadCommand(key), { abortSignal: attempt.signal });
      }),
    );
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await Promise.resolve(null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve(this.#requests.dispose());
  }

  async #readNothing(name: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if ((await this.head(name, signal)) !== null) return Buffer.alloc(0);
    throw new OperatingError("not_found", `could not read "${name}": it is not there`);
  }

  async *#pages(prefix: string, signal: AbortSignal | undefined): AsyncGenerator<ListPage> {
    const { bucket, prefix: root } = this.#requests.location;
    const input = { Bucket: bucket, Prefix: root + prefix, MaxKeys: PAGE_NAMES_MAX };
    let ContinuationToken: string | undefined;
    do {
      const page = await this.#requests.run(
        { action: `could not list "${prefix}"`, signal },
        async (client, attempt) => await listPage(client, { ...input, ContinuationToken }, attempt),
      );
      yield page;
      ContinuationToken = nextToken(page.isTruncated, ContinuationToken, page.nextToken ?? undefined);
    } while (ContinuationToken !== undefined);
  }

  async *#uploads(signal: AbortSignal | undefined): AsyncGenerator<MultipartUpload> {
    const { bucket, prefix } = this.#requests.location;
    let KeyMarker: string | undefined;
    let UploadIdMarker: string | undefined;
    do {
      const input = { Bucket: bucket, Prefix: prefix, MaxUploads: PAGE_NAMES_MAX, KeyMarker, UploadIdMarker };
      const page = await this.#requests.run(
        { action: "could not list unfinished uploads", signal },
        async (client, attempt) => {
          return await client.send(new ListMultipartUploadsCommand(input), { abortSignal: attempt.signal });
        },
      );
      yield* page.Uploads ?? [];
      KeyMarker = page.IsTruncated === true ? page.NextKeyMarker : undefined;
      UploadIdMarker = page.NextUploadIdMarker;
    } while (KeyMarker !== undefined);
  }

  /** Null when the upload has come to its end meanwhile. */
  async #uploadSize(
    upload: { Key: string; UploadId: string },
    signal: AbortSignal | undefined,
  ): Promise<number | null> {
    const input = { Bucket: this.#requests.location.bucket, ...upload };
    let sizeBytes = 0;
    let PartNumberMarker: string | undefined;
    try {
      do {
        const page = await this.#requests.run(
          { action: "could not list an upload's parts", signal },
          async (client, attempt) => {
            return await client.send(new ListPartsCommand({ ...input, PartNumberMarker }), {
              abortSignal: attempt.signal,
            });
          },
        );
        for (const { Size = 0 } of page.Parts ?? []) sizeBytes += Size;
        PartNumberMarker = nextToken(page.IsTruncated, PartNumberMarker, page.NextPartNumberMarker);
      } while (PartNumberMarker !== undefined);
      return sizeBytes;
    } catch (error) {
      if (isOperatingError(error, "not_found")) return null;
      throw error;
    }
  }
}

function isDead(beganAt: number): boolean {
  return beganAt >= LEFTOVER_BEGAN_MIN && Date.now() - beganAt > LEFTOVER_DEAD_AFTER_MS;
}

/** Where the next page begins. A server that gives the same place again would be asked for ever. */
function nextToken(
  isTruncated: boolean | undefined,
  before: string | undefined,
  next: string | undefined,
): string | undefined {
  if (isTruncated !== true) return undefined;
  if (next !== undefined && next !== before) return next;
  throw new OperatingError("storage_failed", "the storage says that a list goes on, but not where");
}

async function absentIsFine(request: Promise<void>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!isOperatingError(error, "not_found")) throw error;
  }
}
