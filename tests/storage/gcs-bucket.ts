// The objects of one bucket as Google Cloud Storage keeps them: generations, preconditions, checksums, pages of a list,
// resumable uploads. In memory, for tests. Written from Google's documentation, "JSON API reference" (Objects),
// "Request preconditions", "Perform resumable uploads", "HTTP status and error codes for JSON".

import { createHash, randomBytes } from "node:crypto";

const STEP_BYTES = 256 * 1024;

/** An answer that is no success, as Google words it. */
export class GcsRefusal extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** What an object was made with. */
export interface ObjectFields {
  readonly name?: string;
  readonly contentType?: string;
  readonly storageClass?: string;
  readonly kmsKeyName?: string;
  readonly md5Hash?: string;
  readonly crc32c?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface KeptObject {
  readonly bytes: Buffer;
  readonly generation: string;
  readonly md5Hash: string;
  readonly crc32c: string;
  readonly fields: ObjectFields;
  /** What is said of it in place of the truth. */
  readonly lies: Readonly<Record<string, string>>;
}

/** Preconditions of a request, by the names of their parameters. */
export interface Conditions {
  readonly ifGenerationMatch: string | null;
}

interface Session {
  readonly fields: ObjectFields;
  readonly conditions: Conditions;
  readonly pieces: Buffer[];
  persistedBytes: number;
  state: "open" | "cancelled" | "failed" | KeptObject;
}

/** A piece that arrived, maybe not whole. */
export interface ArrivedPiece {
  readonly offset: number;
  readonly bytes: Buffer;
  /** Null: more will come. */
  readonly totalBytes: number | null;
  /** False where the connection broke off. */
  readonly isWhole: boolean;
  /** Of `x-goog-hash`. */
  readonly hashes: { readonly md5?: string; readonly crc32c?: string };
}

/** How an upload stands after a request. */
export type UploadAnswer = { readonly persistedBytes: number } | { readonly object: KeptObject };

/** See the head of this file. */
export class GcsBucket {
  readonly objects = new Map<string, KeptObject>();
  readonly sessions = new Map<string, Session>();
  /** Of the next piece that comes, no more than this is kept. */
  persistsAtMost: number | null = null;
  /** What is said of objects that are made from now on, in place of the truth. */
  lies: Readonly<Record<string, string>> = {};
  #names: string[] | null = null;
  #generation = BigInt(Date.now()) * 1000n;

  insert(fields: ObjectFields, bytes: Buffer, conditions: Conditions): KeptObject {
    const { name = "" } = fields;
    if (name === "") throw new GcsRefusal(400, "required", "Required");
    this.check(name, conditions);
    const md5Hash = createHash("md5").update(bytes).digest("base64");
    const crc32c = crc32cOf(bytes);
    refuseOther("MD5 hash", fields.md5Hash, md5Hash);
    refuseOther("CRC32C", fields.crc32c, crc32c);
    this.#generation += 1n;
    const object = { bytes, generation: String(this.#generation), md5Hash, crc32c, fields, lies: this.lies };
    if (!this.objects.has(name)) this.#names = null;
    this.objects.set(name, object);
    return object;
  }

  get(name: string, conditions: Conditions): KeptObject {
    const object = this.objects.get(name);
    if (object === undefined) throw new GcsRefusal(404, "notFound", `No such object: ${name}`);
    this.check(name, conditions);
    return object;
  }

  delete(name: string, conditions: Conditions): void {
    this.get(name, conditions);
    this.objects.delete(name);
    this.#names = null;
  }

  check(name: string, { ifGenerationMatch: wanted }: Conditions): void {
    if (wanted === null || wanted === (this.objects.get(name)?.generation ?? "0")) return;
    const message = "At least one of the pre-conditions you specified did not hold.";
    throw new GcsRefusal(412, "conditionNotMet", message);
  }

  /** A page of names in their order, and where the next one begins. */
  page(prefix: string, pageToken: string | null, count: number): { names: string[]; nextPageToken: string | null } {
    this.#names ??= [...this.objects.keys()].toSorted();
    const after = pageToken === null ? null : Buffer.from(pageToken, "base64").toString();
    const isPast = (name: string): boolean => (after === null ? name >= prefix : name > after);
    const start = firstIndex(this.#names, isPast);
    const names: string[] = [];
    let index = start;
    for (; index < this.#names.length && names.length < count; index += 1) {
      const name = this.#names[index]!;
      if (!name.startsWith(prefix)) break;
      names.push(name);
    }
    const goesOn = this.#names[index]?.startsWith(prefix) === true;
    return { names, nextPageToken: goesOn ? Buffer.from(names.at(-1)!).toString("base64") : null };
  }

  beginUpload(fields: ObjectFields, conditions: Conditions): string {
    if ((fields.name ?? "") === "") throw new GcsRefusal(400, "required", "Required");
    this.check(fields.name!, conditions);
    const id = randomBytes(40).toString("base64url");
    this.sessions.set(id, { fields, conditions, pieces: [], persistedBytes: 0, state: "open" });
    return id;
  }

  /** Uploads that were begun and neither finished nor cancelled. */
  openUploads(): number {
    return [...this.sessions.values()].filter(({ state }) => state === "open").length;
  }

  cancelUpload(id: string): void {
    const session = this.#session(id);
    if (session.state === "open") session.state = "cancelled";
    throw new GcsRefusal(499, "", "");
  }

  /** How an upload stands; finishes it when it is said to have all bytes. */
  uploadStatus(id: string, totalBytes: number | null): UploadAnswer {
    const session = this.#session(id);
    if (typeof session.state === "object") return { object: session.state };
    this.#refuseEnded(session);
    if (totalBytes === session.persistedBytes && totalBytes !== 0) return this.#finish(session, {});
    return { persistedBytes: session.persistedBytes };
  }

  takePiece(id: string, { bytes, hashes, isWhole, offset, totalBytes }: ArrivedPiece): UploadAnswer {
    const session = this.#session(id);
    if (typeof session.state === "object") return { object: session.state };
    this.#refuseEnded(session);
    if (offset > session.persistedBytes) {
      const text = `Invalid request.  According to the Content-Range header, the upload offset is ${offset} byte(s), which exceeds already uploaded size of ${session.persistedBytes} byte(s).`;
      throw new GcsRefusal(400, "", text);
    }
    // What was persisted before is ignored.
    const news = bytes.subarray(Math.min(bytes.length, session.persistedBytes - offset));
    const most = Math.min(news.length, this.persistsAtMost ?? news.length);
    this.persistsAtMost = null;
    const isEnd = isWhole && most === news.length && offset + bytes.length === totalBytes;
    const kept = isEnd ? most : most - ((session.persistedBytes + most) % STEP_BYTES);
    if (kept > 0) session.pieces.push(Buffer.from(news.subarray(0, kept)));
    session.persistedBytes += Math.max(kept, 0);
    return isEnd ? this.#finish(session, hashes) : { persistedBytes: session.persistedBytes };
  }

  #finish(session: Session, hashes: ArrivedPiece["hashes"]): UploadAnswer {
    const { md5: md5Hash = session.fields.md5Hash, crc32c = session.fields.crc32c } = hashes;
    const fields = { ...session.fields, ...(md5Hash && { md5Hash }), ...(crc32c && { crc32c }) };
    try {
      session.state = this.insert(fields, Buffer.concat(session.pieces), session.conditions);
    } catch (error) {
      session.state = "failed";
      throw error;
    } finally {
      session.pieces.length = 0;
    }
    return { object: session.state };
  }

  #session(id: string): Session {
    const session = this.sessions.get(id);
    if (session !== undefined) return session;
    throw new GcsRefusal(404, "", "Not Found");
  }

  #refuseEnded({ state }: Session): void {
    if (state === "cancelled") throw new GcsRefusal(499, "", "");
    if (state === "failed") throw new GcsRefusal(410, "", "Gone");
  }
}

function refuseOther(what: string, given: string | undefined, found: string): void {
  if (given === undefined || given === found) return;
  throw new GcsRefusal(400, "invalid", `Provided ${what} "${given}" doesn't match calculated ${what} "${found}".`);
}

function firstIndex(names: readonly string[], isPast: (name: string) => boolean): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isPast(names[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** As Google gives it: big-endian, base64. */
function crc32cOf(bytes: Uint8Array): string {
  let value = 0xffffffff;
  for (let index = 0; index < bytes.length; index += 1) {
    value = CRC32C_TABLE[(value ^ bytes[index]!) & 0xff]! ^ (value >>> 8);
  }
  const digest = Buffer.alloc(4);
  digest.writeUInt32BE((value ^ 0xffffffff) >>> 0);
  return digest.toString("base64");
}
