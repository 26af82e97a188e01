// Writes one object: what is small in one request, when it is complete; what is larger is sent while it is made. Either goes
// to a temporary file first, which then gets the object's name (publisher.ts). Memory: GATHERED_BYTES_MAX, or what
// outgoing-bytes.ts holds. Whatever fails, the temporary files are removed.

import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { OngoingWrite } from "../ongoing-write.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import { ContentHashes } from "./object-write.ts";
import type { ObjectWrite, SentContent } from "./object-write.ts";
import type { Publisher } from "./publisher.ts";
import { announcedName, claimName, neutralName } from "./temporary-names.ts";
import type { Upload, Uploader } from "./uploader.ts";

const GATHERED_BYTES_MAX = 8 * MIB;
/** Temporary files older than two days count as left over (temporary-names.ts); none of ours lives so long. */
const UPLOAD_AGE_MS_MAX = 24 * 3_600_000;

/** How an object is sent and named. */
export interface WriteMeans {
  readonly uploader: Uploader;
  readonly publisher: Publisher;
  readonly isOwncloud: boolean;
}

/** Puts bytes under a temporary name and publishes them. Throws "repository_exists". */
export async function writeWhole(means: WriteMeans, write: ObjectWrite, bytes: Uint8Array): Promise<StoredObject> {
  const { publisher, uploader } = means;
  const content = new ContentHashes(means.isOwncloud).update(bytes).digest();
  const temporary = write.ifAbsent ? announcedName(write.writer, write.name) : neutralName(write.writer);
  let moved: SentContent | null = null;
  const onMove = (): void => void (moved = content);
  try {
    await uploader.put(write, temporary, bytes, content);
    return await publisher.publish(write, { content, isAnnounced: write.ifAbsent, hasClaim: false, onMove });
  } catch (error) {
    await publisher.tidy(write, moved);
    write.signal?.throwIfAborted();
    throw error;
  }
}

/** See the head of this file. */
export class WebdavWriter implements ObjectWriter {
  readonly #means: WriteMeans;
  readonly #write: ObjectWrite;
  readonly #ongoing: OngoingWrite;
  readonly #hashes: ContentHashes;
  readonly #openedAtMs = performance.now();
  #gathered: Uint8Array[] = [];
  #upload: Upload | null = null;
  /** What was sent, once the object may be there whatever was answered. */
  #moved: SentContent | null = null;

  constructor(means: WriteMeans, write: ObjectWrite) {
    this.#means = means;
    this.#write = write;
    this.#ongoing = new OngoingWrite(write);
    this.#hashes = new ContentHashes(means.isOwncloud);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#ongoing.takeTurn(async () => await this.#append(bytes));
  }

  async finish(expected?: WrittenContent): Promise<StoredObject> {
    const last = async (): Promise<StoredObject> => {
      const content = this.#hashes.digest();
      this.#compare(content, expected);
      return await (this.#upload === null ? this.#finishWhole() : this.#finishUpload(this.#upload, content));
    };
    return await this.#ongoing.finish(last, async () => await this.abort());
  }

  async abort(): Promise<void> {
    if (!this.#ongoing.isOpen) return;
    await this.#ongoing.cancel();
    this.#gathered = [];
    const upload = this.#upload;
    if (upload === null) return;
    const isBroken = await upload.sent.then(
      () => false,
      () => true,
    );
    upload.bytes.clear();
    await this.#means.publisher.tidy(this.#write, this.#moved);
    if (isBroken) await this.#means.publisher.tidyLate(this.#write);
    await this.#means.publisher.removeClaim(this.#write);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #compare({ sha256, sizeBytes }: SentContent, expected: WrittenContent | undefined): void {
    if (expected === undefined) return;
    const problem =
      sizeBytes !== expected.sizeBytes ? `it got ${sizeBytes} bytes, not ${expected.sizeBytes}`
      : Buffer.compare(sha256, expected.sha256) !== 0 ? "it got other bytes than were expected"
      : null; // prettier-ignore
    if (problem !== null) throw new OperatingError("corrupt", `${this.#ongoing.action}: ${problem}`);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    this.#hashes.update(bytes);
    if (this.#upload === null) {
      this.#gathered.push(bytes);
      if (this.#hashes.sizeBytes <= GATHERED_BYTES_MAX) return;
      this.#upload = await this.#begin();
    } else {
      this.#upload.bytes.push(bytes);
    }
    await this.#upload.bytes.room(this.#ongoing.signal);
  }

  async #begin(): Promise<Upload> {
    const { uploader } = this.#means;
    const write = { ...this.#write, signal: this.#ongoing.signal };
    await uploader.put(write, claimName(write.writer), new Uint8Array());
    const upload = uploader.begin(write, neutralName(write.writer), this.#ongoing.signal);
    upload.sent.catch((error: unknown) => this.#ongoing.fail(error));
    for (const bytes of this.#gathered) upload.bytes.push(bytes);
    this.#gathered = [];
    return upload;
  }

  async #finishWhole(): Promise<StoredObject> {
    const bytes = Buffer.concat(this.#gathered);
    this.#gathered = [];
    return await writeWhole(this.#means, { ...this.#write, signal: this.#ongoing.signal }, bytes);
  }

  async #finishUpload({ bytes, sent }: Upload, content: SentContent): Promise<StoredObject> {
    bytes.end();
    await sent;
    bytes.clear();
    if (performance.now() - this.#openedAtMs > UPLOAD_AGE_MS_MAX) {
      throw new OperatingError("stalled", `${this.#ongoing.action}: the upload took more than a day`);
    }
    const write = { ...this.#write, signal: this.#ongoing.signal };
    const publication = { content, isAnnounced: false, hasClaim: true, onMove: () => void (this.#moved = content) };
    const object = await this.#means.publisher.publish(write, publication);
    await this.#means.publisher.removeClaim(write);
    return object;
  }
}
