// Objects as files in a folder of another host, over SFTP version 3 with OpenSSH's extensions where there are some. Writing:
// sftp-writer.ts. Files are 0600 in folders of 0700. SFTP computes no checksum: sizes are confirmed.
// Source: draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL, "SFTP protocol changes".

import { createHash } from "node:crypto";
import { OperatingError } from "../../base/errors.ts";
import { isTemporaryName, temporaryName } from "../local/temporary-names.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import { checkRange } from "../byte-range.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { writeThrough } from "../write-through.ts";
import { parentOf, SftpFolders, walk } from "./folders.ts";
import type { FoundFile } from "./folders.ts";
import { isLeftoverDead } from "./left-overs.ts";
import { readFileAt } from "./read-file.ts";
import type { SftpRequests } from "./sftp-requests.ts";
import { unlessMissing } from "./sftp-requests.ts";
import { SftpWriter } from "./sftp-writer.ts";
import { freeSpaceAt } from "./write-failure.ts";

/** See the head of this file. */
export class SftpStorage implements Storage {
  readonly description: string;
  readonly #requests: SftpRequests;
  readonly #folders: SftpFolders;

  constructor(requests: SftpRequests) {
    this.description = requests.location.description;
    this.#requests = requests;
    this.#folders = new SftpFolders(requests);
  }

  get retryCount(): number {
    return this.#requests.retryCount;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    const path = this.#requests.pathOf(name);
    const { ifAbsent = false, needsMark = false, signal } = options;
    signal?.throwIfAborted();
    const folder = parentOf(path);
    await this.#folders.ensure(folder, signal);
    const temporaryPath = `${folder}/${temporaryName()}`;
    const write = { name, path, temporaryPath, ifAbsent, needsMark, signal };
    try {
      return await SftpWriter.open(this.#requests, write);
    } catch (error) {
      this.#folders.forget(folder);
      throw error;
    }
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    const sha256 = createHash("sha256").update(bytes).digest();
    return await writeThrough(await this.openWriter(name, options), bytes, { sizeBytes: bytes.length, sha256 });
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const path = this.#requests.pathOf(name);
    const action = `could not read "${name}"`;
    if (range !== undefined) checkRange(action, range);
    const facts = { action, sizeBytes: range?.lengthBytes ?? 0, signal };
    return await this.#requests.run(facts, async (connection) => await readFileAt(connection, path, action, range));
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const path = this.#requests.pathOf(name);
    const action = `could not look at "${name}"`;
    return await this.#requests.run({ action, signal }, async (connection) => {
      const found = await this.#requests.look(connection, path);
      if (found === null || !found.isFile()) return null;
      if (Number.isSafeInteger(found.size)) return { name, sizeBytes: found.size };
      throw new OperatingError("storage_failed", `${action}: the server does not say its size`);
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    for await (const { name, sizeBytes } of walk(this.#requests, "", prefix, signal)) {
      if (name.startsWith(prefix) && isObjectName(name)) yield { name, sizeBytes };
    }
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    await this.#unlink(this.#requests.pathOf(name), name, signal);
  }

  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    const found: FoundFile[] = [];
    let youngestMs = 0;
    for await (const file of walk(this.#requests, "", "", signal)) {
      youngestMs = Math.max(youngestMs, file.modifiedAtMs);
      if (isTemporaryName(file.fileName)) found.push(file);
    }
    for (const { fileName, modifiedAtMs, name, sizeBytes } of found) {
      yield { name, sizeBytes, isDead: isLeftoverDead(fileName, modifiedAtMs, youngestMs) };
    }
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    const parts = name.split("/");
    const fileName = parts.pop() ?? "";
    if (parts.length > 0) checkObjectName(parts.join("/"));
    if (!isTemporaryName(fileName)) throw new OperatingError("usage", `"${name}" is no left-over`);
    await this.#unlink(`${this.#requests.location.root}/${name}`, name, signal);
  }

  async freeSpaceBytes(): Promise<number | null> {
    const { root } = this.#requests.location;
    const facts = { action: "could not ask for the free space" };
    return await this.#requests.run(facts, async (connection) => await freeSpaceAt(connection, root));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#requests.dispose();
  }

  async #unlink(path: string, name: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#requests.run({ action: `could not delete "${name}"`, signal }, async (connection) => {
      await unlessMissing(connection.request<void>((sftp, done) => sftp.unlink(path, done)));
    });
  }
}
