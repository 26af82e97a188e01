// Objects in a folder of a WebDAV server: each a file, below folders by the parts of its name. Writing: webdav-writer.ts,
// publisher.ts. Reading needs GET and PROPFIND alone. Names are listed folder by folder; those of one folder and of the
// folders above it are in memory. Source: RFC 4918.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import { checkRange, READ_BYTES_MAX } from "../byte-range.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { nameInFolder } from "./multistatus.ts";
import { ContentHashes, newWrite } from "./object-write.ts";
import { readBody } from "./read-body.ts";
import { temporaryFiles } from "./temporary-files.ts";
import { isWriter, isWriterDead, TEMPORARY_FOLDER } from "./temporary-names.ts";
import type { WebdavRequests } from "./webdav-requests.ts";
import { WebdavWriter, writeWhole } from "./webdav-writer.ts";
import type { WriteMeans } from "./webdav-writer.ts";

/** How far above the repository's folder free space is asked for, while it is not there yet. */
const FOLDERS_ABOVE_MAX = 20;

/** See the head of this file. */
export class WebdavStorage implements Storage {
  readonly description: string;
  readonly #requests: WebdavRequests;
  readonly #means: WriteMeans;

  constructor(requests: WebdavRequests, means: WriteMeans) {
    const { isTls, origin, path } = requests.location;
    this.#requests = requests;
    this.#means = means;
    const host = origin.replace(/^https?:/, "webdav:");
    this.description = `${host}${path.replace(/\/$/, "")}${isTls ? "" : " (without TLS)"}`;
  }

  get retryCount(): number {
    return this.#requests.retryCount;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    checkObjectName(name);
    options.signal?.throwIfAborted();
    return await Promise.resolve(new WebdavWriter(this.#means, newWrite(name, options)));
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    checkObjectName(name);
    options.signal?.throwIfAborted();
    const write = newWrite(name, options);
    if (write.ifAbsent || (await this.head(name, write.signal)) === null)
      return await writeWhole(this.#means, write, bytes);
    // Servers replace a file in one step, but MOVE is two: first the old one goes.
    await this.#means.uploader.put(write, name, bytes);
    return await this.#means.publisher.confirm(write, new ContentHashes(this.#means.isOwncloud).update(bytes).digest());
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkObjectName(name);
    const action = `could not read "${name}"`;
    if (range !== undefined) checkRange(action, range);
    if (range?.lengthBytes === 0) return await this.#readNothing(name, signal);
    const headers = range && { Range: `bytes=${range.offset}-${range.offset + range.lengthBytes - 1}` };
    const request = { method: "GET", path: this.#requests.pathOf(name), ...(headers && { headers }) };
    const facts = { action, sizeBytes: range?.lengthBytes ?? READ_BYTES_MAX, signal };
    return await this.#requests.run(facts, async (attempt) => {
      const sizeBytes = async (): Promise<number | null> =>
        (await this.#requests.lookOnce(attempt, request.path, action))?.sizeBytes ?? null;
      return await readBody(await this.#requests.send(attempt, action, request), { action, range, sizeBytes }, attempt);
    });
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    checkObjectName(name);
    const action = `could not look at "${name}"`;
    const entry = await this.#requests.look(this.#requests.pathOf(name), action, { signal });
    if (entry === null) return null;
    if (entry.sizeBytes !== null) return { name, sizeBytes: entry.sizeBytes };
    throw new OperatingError("storage_failed", `${action}: the server does not say its size`);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf("/") + 1), prefix, signal);
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    checkObjectName(name);
    const facts = { action: `could not delete "${name}"`, signal };
    await this.#requests.order(facts, { method: "DELETE", path: this.#requests.pathOf(name) }, [404]);
  }

  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    signal?.throwIfAborted();
    const { files, serverTimeMs } = await temporaryFiles(this.#requests, signal);
    for (const writer of new Set(files.map((file) => file.writer))) {
      const its = files.filter((file) => file.writer === writer);
      const sizeBytes = its.reduce((sum, file) => sum + file.sizeBytes, 0);
      const newest = its.reduce((latest, { modifiedAtMs }) => Math.max(latest, modifiedAtMs), 0);
      yield { name: TEMPORARY_FOLDER + writer, sizeBytes, isDead: isWriterDead(writer, newest, serverTimeMs) };
    }
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    const writer = name.startsWith(TEMPORARY_FOLDER) ? name.slice(TEMPORARY_FOLDER.length) : "";
    if (!isWriter(writer)) throw new OperatingError("usage", `"${name.slice(0, 80)}" is no left-over`);
    const { files } = await temporaryFiles(this.#requests, signal);
    for (const file of files.filter((one) => one.writer === writer)) {
      const path = this.#requests.pathOf(TEMPORARY_FOLDER + file.fileName);
      const headers = { "X-NC-Skip-Trashbin": "true" };
      const facts = { action: `could not delete "${name}"`, signal };
      await this.#requests.order(facts, { method: "DELETE", path, headers }, [404]);
    }
  }

  async freeSpaceBytes(): Promise<number | null> {
    let { path } = this.#requests.location;
    for (let above = 0; above < FOLDERS_ABOVE_MAX; above += 1) {
      const bytes = await this.#requests.availableBytes(path).catch((error: unknown) => {
        if (isOperatingError(error)) return null;
        throw error;
      });
      if (bytes !== null || path === "/") return bytes;
      path = path.slice(0, path.lastIndexOf("/", path.length - 2) + 1);
    }
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve(this.#requests.dispose());
  }

  async #readNothing(name: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if ((await this.head(name, signal)) !== null) return Buffer.alloc(0);
    throw new OperatingError("not_found", `could not read "${name}": it is not there`);
  }

  /** All objects below a folder that have the prefix, in the order of their whole names. */
  async *#walk(folder: string, prefix: string, signal: AbortSignal | undefined): AsyncGenerator<StoredObject> {
    for (const { name, sizeBytes, version } of await this.#entries(folder, prefix, signal)) {
      if (name.endsWith("/")) yield* this.#walk(name, prefix, signal);
      else if (sizeBytes !== null) yield { name, sizeBytes, ...(version !== null && { version }) };
      else throw new OperatingError("storage_failed", `the server does not say the size of "${name}"`);
    }
  }

  /** Objects and folders (ending with "/") in a folder that can have the prefix, in name order. */
  async #entries(
    folder: string,
    prefix: string,
    signal: AbortSignal | undefined,
  ): Promise<readonly { readonly name: string; readonly sizeBytes: number | null; readonly version: string | null }[]> {
    const path = this.#requests.pathOf(folder);
    const { entries } = await this.#requests.list(path, `could not list "${folder}"`, signal);
    const found = entries
      .flatMap((entry) => {
        const { etag, isFolder, sizeBytes } = entry;
        const name = folder + nameInFolder(entry, path);
        // Other people's files may lie there too.
        if (name === folder || !isObjectName(name)) return [];
        const inner = `${name}/`;
        const canHave = isFolder ? inner.startsWith(prefix) || prefix.startsWith(inner) : name.startsWith(prefix);
        return canHave ? [{ name: isFolder ? inner : name, sizeBytes, version: etag }] : [];
      })
      .toSorted((one, other) => (one.name < other.name ? -1 : 1));
    const twice = found.find(({ name }, index) => name === found[index - 1]?.name);
    if (twice === undefined) return found;
    throw new OperatingError("storage_failed", `the server lists "${twice.name}" twice`);
  }
}
