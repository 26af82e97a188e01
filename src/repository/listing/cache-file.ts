// The file of a listing cache, in a folder of the user's: sealed under a key of the repository, so that it tells nothing
// and cannot be made to lie; without encryption it has a checksum only, as the repository has. Whatever is wrong with the
// file or the folder, there is no cache, and never an error. Replaced as a whole, so that processes beside each other
// lose at most what the other one had added. May be deleted at any time.
//
//   "CAIRNLST" 8 | version 2 | cipher 1 | 0 1 | raw length 4 | data key id 16 | salt 32 | sealed text, one zstd frame | tag 16

import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MIB } from "../../base/units.ts";
import { deriveKey } from "../keys.ts";
import type { Keyring } from "../keys.ts";
import { compress, decode } from "../sealed-object.ts";

/** Of the text, before it is compressed. */
export const CACHE_TEXT_BYTES_MAX = 48 * MIB;
const MAGIC = Buffer.from("CAIRNLST", "latin1");
const VERSION = 1;
const HEADER_BYTES = 64;
const TAG_BYTES = 16;
const NONCE = new Uint8Array(12);
const ENDING = ".listing";
const TEMPORARY_ENDING = ".listing-new";
/** Files that nobody has written for so long go when another one is written. */
const UNUSED_AFTER_MS = 90 * 86_400_000;
const TEMPORARY_DEAD_AFTER_MS = 86_400_000;

/** See the head of this file. */
export class CacheFile {
  readonly #path: string;
  readonly #keyring: Keyring;
  readonly #storageId: Uint8Array;

  /** `description`: of the storage; two storages may hold repositories of one id. */
  constructor(folder: string, keyring: Keyring, description: string) {
    this.#keyring = keyring;
    this.#storageId = createHash("sha256").update(description).digest();
    const storage = Buffer.from(this.#storageId).toString("hex", 0, 8);
    this.#path = join(folder, `${Buffer.from(keyring.repositoryId).toString("hex")}-${storage}${ENDING}`);
  }

  /** The text, as it was saved; null when there is none that can be trusted. */
  async load(): Promise<Uint8Array | null> {
    try {
      const { size } = await lstat(this.#path);
      if (size > CACHE_TEXT_BYTES_MAX || size < HEADER_BYTES + TAG_BYTES) return null;
      return await this.#unseal(await readFile(this.#path));
    } catch {
      return null;
    }
  }

  /** Replaces the file where that can be done. */
  async save(text: Uint8Array): Promise<void> {
    const folder = dirname(this.#path);
    const temporary = `${this.#path.slice(0, -ENDING.length)}-${randomBytes(6).toString("hex")}${TEMPORARY_ENDING}`;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(temporary, await this.#seal(text), { mode: 0o600, flag: "wx" });
      await rename(temporary, this.#path);
      await removeUnused(folder);
    } catch {
      await unlink(temporary).catch(() => undefined);
    }
  }

  async #seal(text: Uint8Array): Promise<Uint8Array> {
    const { current } = this.#keyring;
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header, 0);
    header.writeUInt16BE(VERSION, 8);
    header.writeUInt8(current === null ? 0 : 1, 10);
    header.writeUInt32BE(text.length, 12);
    header.set(current?.id ?? [], 16);
    header.set(randomBytes(32), 32);
    const frame = await compress(text);
    const key = this.#keyOf(header);
    if (key === null) return Buffer.concat([header, frame, this.#checksum(header, frame)]);
    const cipher = createCipheriv("aes-256-gcm", key, NONCE);
    cipher.setAAD(this.#associated(header));
    return Buffer.concat([header, cipher.update(frame), cipher.final(), cipher.getAuthTag()]);
  }

  async #unseal(file: Buffer): Promise<Uint8Array | null> {
    const header = file.subarray(0, HEADER_BYTES);
    const rawLengthBytes = header.readUInt32BE(12);
    const isOurs = MAGIC.equals(header.subarray(0, 8)) && header.readUInt16BE(8) === VERSION;
    if (!isOurs || rawLengthBytes > CACHE_TEXT_BYTES_MAX) return null;
    const sealed = file.subarray(HEADER_BYTES, file.length - TAG_BYTES);
    const tag = file.subarray(file.length - TAG_BYTES);
    const key = this.#keyOf(header);
    let frame: Uint8Array = sealed;
    if (key === null) {
      if (!timingSafeEqual(this.#checksum(header, sealed), tag)) return null;
    } else {
      const decipher = createDecipheriv("aes-256-gcm", key, NONCE);
      decipher.setAAD(this.#associated(header)).setAuthTag(tag);
      frame = Buffer.concat([decipher.update(sealed), decipher.final()]);
    }
    return await decode(basename(this.#path), { encoding: "zstd", rawLengthBytes, itemNumber: 0 }, frame);
  }

  /** Of the repository's current data key, whatever the header says: what another one sealed does not open. */
  #keyOf(header: Uint8Array): Uint8Array | null {
    const { current } = this.#keyring;
    return current === null ? null : deriveKey(current.key, header.subarray(32), "cairn listing cache v1");
  }

  #associated(header: Uint8Array): Uint8Array {
    return Buffer.concat([header, this.#keyring.repositoryId, this.#storageId]);
  }

  #checksum(header: Uint8Array, frame: Uint8Array): Uint8Array {
    return createHash("sha256").update(this.#associated(header)).update(frame).digest().subarray(0, TAG_BYTES);
  }
}

async function removeUnused(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const limitMs = name.endsWith(ENDING) ? UNUSED_AFTER_MS : name.endsWith(TEMPORARY_ENDING) ? TEMPORARY_DEAD_AFTER_MS : null; // prettier-ignore
    if (limitMs === null) continue;
    const status = await lstat(join(folder, name)).catch(() => null);
    if (status !== null && Date.now() - status.mtimeMs > limitMs) await unlink(join(folder, name));
  }
}
