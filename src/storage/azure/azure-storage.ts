// Objects as block blobs in a container of Azure Blob Storage. Writing: put-object.ts, azure-writer.ts; what unfinished uploads
// leave: staged-blocks.ts. Reading needs the rights to read and to list alone. Source: Azure Storage REST API.

import type { BlobItem, ContainerListBlobFlatSegmentResponse } from "@azure/storage-blob";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { checkRange, READ_BYTES_MAX } from "../byte-range.ts";
import { isReadingCharged } from "../charged-reading.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { writeThrough } from "../write-through.ts";
import { DISCARDED_MARK, isNoObject } from "./azure-requests.ts";
import type { AzureRequests } from "./azure-requests.ts";
import { AzureWriter } from "./azure-writer.ts";
import { newWrite, putConfirmed } from "./put-object.ts";
import { readBody } from "./read-body.ts";
import { deleteDiscarded, discardBlocks, stagedBlocks } from "./staged-blocks.ts";

/** What put() sends in one request; larger ones go in blocks. */
const PUT_BYTES_MAX = 64 * MIB;
/** Azure lists 5,000 at a time; smaller pages come sooner, and take together as long. */
const PAGE_NAMES_MAX = 1000;
/** A writer gives up after three days (azure-writer.ts), so what is older has none; Azure itself drops blocks after seven. */
const LEFTOVER_DEAD_AFTER_MS = 5 * 24 * 3600 * 1000;
/** A left-over's name: the object's, and the mark of the upload that began last under it. */
const LEFTOVER_NAME = /^([^?]*)\?(?:blocks=([0-9a-f]{24})|(discarded))$/;

/** See the head of this file. */
export class AzureStorage implements Storage {
  readonly description: string;
  readonly isReadingCharged: boolean;
  readonly #requests: AzureRequests;

  constructor(requests: AzureRequests) {
    const { container, endpoint, prefix } = requests.location;
    this.#requests = requests;
    this.description = `azure://${container}/${prefix.slice(0, -1)} at ${endpoint}`;
    this.isReadingCharged = isReadingCharged(endpoint);
  }

  get retryCount(): number {
    return this.#requests.retryCount;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    checkObjectName(name);
    options.signal?.throwIfAborted();
    return await Promise.resolve(new AzureWriter(this.#requests, newWrite(name, options)));
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    const write = newWrite(name, options);
    if (bytes.length <= PUT_BYTES_MAX) return await putConfirmed(this.#requests, write, bytes);
    return await writeThrough(await this.openWriter(name, options), bytes);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const blob = this.#requests.blobOf(name);
    const action = `could not read "${name}"`;
    if (range !== undefined) checkRange(action, range);
    if (range?.lengthBytes === 0) return await this.#readNothing(name, signal);
    const facts = { action, sizeBytes: range?.lengthBytes ?? READ_BYTES_MAX, signal };
    return await this.#requests.run(facts, async (attempt) => {
      // The client would ask for the rest of a body that broke off by itself, uncounted.
      const options = { abortSignal: attempt.signal, maxRetryRequests: 0 };
      const output = await blob.download(range?.offset ?? 0, range?.lengthBytes, options);
      if (output.contentLength === 0 && DISCARDED_MARK in (output.metadata ?? {})) {
        output.readableStreamBody?.resume();
        throw isNotThere(name);
      }
      return await readBody(output, { action, range, lengthBytesMax: READ_BYTES_MAX }, attempt);
    });
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const found = await this.#requests.look(name, signal);
    if (found === null || isNoObject(found)) return null;
    if (found.sizeBytes >= 0) return { name, sizeBytes: found.sizeBytes };
    throw new OperatingError("storage_failed", `could not look at "${name}": the storage does not say its size`);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    let last = "";
    for await (const { name, sizeBytes } of this.#items(prefix, false, signal)) {
      if (name <= last) throw new OperatingError("storage_failed", "the storage does not list names in their order");
      last = name;
      // It may be no object, but the place of one.
      if (sizeBytes > 0 || (await this.head(name, signal)) !== null) yield { name, sizeBytes };
    }
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    const blob = this.#requests.blobOf(name);
    const deletion = this.#requests.run({ action: `could not delete "${name}"`, signal }, async (attempt) => {
      await blob.delete({ abortSignal: attempt.signal });
    });
    await deletion.catch((error: unknown) => {
      if (!isOperatingError(error, "not_found")) throw error;
    });
  }

  /** Azure lists unfinished uploads only together with all objects. */
  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    for await (const { isDiscarded, name, sizeBytes } of this.#items("", true, signal)) {
      if (sizeBytes > 0) continue;
      if (isDiscarded) yield { name: `${name}?discarded`, sizeBytes: 0, isDead: true };
      const staged = isDiscarded ? null : await stagedBlocks(this.#requests, name, { signal });
      if (staged === null || staged.newest === null) continue;
      const { beganAtMs, mark } = staged.newest;
      const isDead = Date.now() - beganAtMs > LEFTOVER_DEAD_AFTER_MS && !staged.marks.has(null);
      yield { name: `${name}?blocks=${mark}`, sizeBytes: staged.sizeBytes, isDead };
    }
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    const [, objectName = "", mark] = LEFTOVER_NAME.exec(name) ?? [];
    if (!isObjectName(objectName)) throw new OperatingError("usage", `${JSON.stringify(name)} is no left-over`);
    if (mark === undefined) return void (await deleteDiscarded(this.#requests, objectName, signal));
    // Another upload has begun there since: it is not what was named.
    await discardBlocks(this.#requests, objectName, ({ newest }) => newest?.mark === mark, signal);
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await Promise.resolve(null);
  }

  /** The client's connections are the process's, and do not keep it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  async #readNothing(name: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if ((await this.head(name, signal)) !== null) return Buffer.alloc(0);
    throw isNotThere(name);
  }

  /** What is listed under the names of objects. */
  async *#items(prefix: string, isUnfinishedToo: boolean, signal: AbortSignal | undefined): AsyncGenerator<Item> {
    for await (const { segment } of this.#pages(prefix, isUnfinishedToo, signal)) {
      for (const item of segment.blobItems) {
        const name = this.#requests.nameOf(item.name);
        if (name !== null && isObjectName(name)) yield itemOf(name, item);
      }
    }
  }

  async *#pages(
    prefix: string,
    isUnfinishedToo: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ContainerListBlobFlatSegmentResponse> {
    const { container, location } = this.#requests;
    const options = { prefix: location.prefix + prefix, ...(isUnfinishedToo && UNFINISHED_TOO) };
    let continuationToken: string | undefined;
    do {
      const before = continuationToken;
      const page = await this.#requests.run({ action: `could not list "${prefix}"`, signal }, async (attempt) => {
        const pages = container.listBlobsFlat({ ...options, abortSignal: attempt.signal });
        const settings = { maxPageSize: PAGE_NAMES_MAX, ...(before !== undefined && { continuationToken: before }) };
        return (await pages.byPage(settings).next()).value as ContainerListBlobFlatSegmentResponse;
      });
      yield page;
      continuationToken = page.continuationToken || undefined;
      // A server that gives the same place again would be asked for ever.
      if (continuationToken !== undefined && continuationToken === before) {
        throw new OperatingError("storage_failed", "the storage says that a list goes on, but not where");
      }
    } while (continuationToken !== undefined);
  }
}

const UNFINISHED_TOO = { includeUncommitedBlobs: true, includeMetadata: true };

interface Item {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isDiscarded: boolean;
}

function itemOf(name: string, { metadata, properties }: BlobItem): Item {
  const { contentLength: sizeBytes } = properties;
  if (sizeBytes === undefined) {
    throw new OperatingError("storage_failed", `the storage does not say the size of "${name}"`);
  }
  return { name, sizeBytes, isDiscarded: metadata !== undefined && DISCARDED_MARK in metadata };
}

function isNotThere(name: string): OperatingError {
  return new OperatingError("not_found", `could not read "${name}": it is not there`);
}
