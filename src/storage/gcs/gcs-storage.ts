// Objects in a bucket of Google Cloud Storage. Writing: write-object.ts, gcs-writer.ts. Reading needs
// storage.objects.get and storage.objects.list alone. Source: Google Cloud Storage documentation, "JSON API reference".

import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import { checkRange } from "../byte-range.ts";
import { isReadingCharged } from "../charged-reading.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { writeThrough } from "../write-through.ts";
import { readJson, sizeOf, storageFailed } from "./gcs-requests.ts";
import type { GcsRequests } from "./gcs-requests.ts";
import { GcsWriter } from "./gcs-writer.ts";
import { readMedia } from "./read-media.ts";
import { deleteObject, newWrite, putObject } from "./write-object.ts";

/** What put() sends in one request; larger ones go in pieces. */
const PUT_BYTES_MAX = 64 * MIB;
/** Google lists no more at a time. */
const PAGE_NAMES_MAX = 1000;
const PAGE_TOKEN_LENGTH_MAX = 8192;

/** See the head of this file. */
export class GcsStorage implements Storage {
  readonly description: string;
  readonly isReadingCharged: boolean;
  readonly #requests: GcsRequests;

  constructor(requests: GcsRequests) {
    const { bucket, endpoint, isGoogle, prefix } = requests.location;
    this.#requests = requests;
    this.description = `gs://${bucket}/${prefix.slice(0, -1)}${isGoogle ? "" : ` at ${endpoint}`}`;
    this.isReadingCharged = isReadingCharged(endpoint);
  }

  get retryCount(): number {
    return this.#requests.retryCount;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    checkObjectName(name);
    options.signal?.throwIfAborted();
    return await Promise.resolve(new GcsWriter(this.#requests, newWrite(name, options)));
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    if (bytes.length <= PUT_BYTES_MAX) return await putObject(this.#requests, newWrite(name, options), bytes);
    return await writeThrough(await this.openWriter(name, options), bytes);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkObjectName(name);
    if (range !== undefined) checkRange(`could not read "${name}"`, range);
    if (range?.lengthBytes !== 0) return await readMedia(this.#requests, name, range, signal);
    if ((await this.head(name, signal)) !== null) return Buffer.alloc(0);
    throw new OperatingError("not_found", `could not read "${name}": it is not there`);
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const said = await this.#requests.head(name, signal);
    if (said === null) return null;
    if (said.sizeBytes !== null) return { name, sizeBytes: said.sizeBytes };
    throw storageFailed(`could not look at "${name}": the storage does not say its size`);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    let last = "";
    for await (const items of this.#pages(prefix, signal)) {
      for (const { generation, name: key = "", size } of items) {
        const name = this.#requests.nameOf(String(key));
        if (name === null || !isObjectName(name)) continue;
        if (name <= last) throw storageFailed("the storage does not list names in their order");
        last = name;
        // Some servers leave out the size of what is empty; null: it was deleted meanwhile.
        const sizeBytes = sizeOf(size);
        const object = sizeBytes === null ? await this.head(name, signal) : { name, sizeBytes };
        if (object !== null) yield { ...object, ...(typeof generation === "string" && { version: generation }) };
      }
    }
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    await deleteObject(this.#requests, name, { signal });
  }

  /** None: Google lists no unfinished uploads, and forgets them after a week. */
  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    signal?.throwIfAborted();
    yield* await Promise.resolve([]);
  }

  async deleteLeftover(name: string): Promise<void> {
    await Promise.reject(new OperatingError("usage", `"${name.slice(0, 80)}" is no left-over`));
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await Promise.resolve(null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve(this.#requests.dispose());
  }

  async *#pages(prefix: string, signal: AbortSignal | undefined): AsyncGenerator<readonly ListedItem[]> {
    const query = {
      prefix: this.#requests.location.prefix + prefix,
      maxResults: String(PAGE_NAMES_MAX),
      fields: "items(name,size,generation),nextPageToken",
    };
    let pageToken: string | undefined;
    do {
      const url = this.#requests.listUrl({ ...query, ...(pageToken !== undefined && { pageToken }) });
      const page = await this.#requests.run({ action: `could not list "${prefix}"`, signal }, async (attempt) =>
        readJson(await this.#requests.send({ method: "GET", url }, attempt, [200])),
      );
      yield Array.isArray(page["items"]) ? (page["items"] as ListedItem[]) : [];
      pageToken = nextToken(pageToken, page["nextPageToken"]);
    } while (pageToken !== undefined);
  }
}

interface ListedItem {
  readonly generation?: unknown;
  readonly name?: unknown;
  readonly size?: unknown;
}

/** Where the next page begins. A server that gives the same place again would be asked for ever. */
function nextToken(before: string | undefined, next: unknown): string | undefined {
  if (next === undefined || next === "") return undefined;
  if (typeof next === "string" && next !== before && next.length <= PAGE_TOKEN_LENGTH_MAX) return next;
  throw storageFailed("the storage says that a list goes on, but not where");
}
