// What Cairn needs of a storage, one check after another; each throws an error that says what went wrong.

import { randomBytes } from "node:crypto";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { Storage } from "../../storage/index.ts";

/** More than one part of a storage that uploads in parts. */
const LARGE_BYTES = 9 * MIB;
const PIECE_BYTES = 1 * MIB;

/** A storage on trial. */
export interface Trial {
  readonly storage: Storage;
  readonly signal: AbortSignal;
  /** Prefix of all names, ending with "/". */
  readonly place: string;
}

/** One check. */
export interface Check {
  readonly name: string;
  /** What must be allowed for it; finishes the sentence "Allow it: …". */
  readonly rights: string;
  /** The names of these rights in S3. Other storages name them in their refusals, or have other ones. */
  readonly rightsInS3: string;
  /** Names of checks without which this one makes no sense. */
  readonly needs?: readonly string[];
  run(trial: Trial): Promise<void>;
}

const WRITE = "write an object, and read it back";
const LARGE = "write a large object in parts";

const READ_CHECKS: readonly Check[] = [
  {
    name: "list names",
    rights: "listing",
    rightsInS3: "s3:ListBucket on the bucket",
    run: async ({ signal, storage }) => {
      for await (const _ of storage.list("", signal)) break;
    },
  },
  {
    name: "read, and be told what is not there",
    rights: "reading",
    rightsInS3: "s3:GetObject on the objects, s3:ListBucket on the bucket",
    run: async ({ place, signal, storage }) => {
      if ((await storage.head(`${place}none`, signal)) !== null) throw failed("an object that nobody wrote is there");
      const error: unknown = await storage.read(`${place}none`, undefined, signal).catch((reason: unknown) => reason);
      if (isOperatingError(error, "not_found")) return;
      throw isOperatingError(error) ? error : failed("an object that nobody wrote can be read");
    },
  },
];

const WRITE_CHECKS: readonly Check[] = [
  {
    name: WRITE,
    rights: "writing",
    rightsInS3: "s3:PutObject on the objects",
    run: async ({ place, signal, storage }) => {
      const bytes = randomBytes(1000);
      await storage.put(`${place}small`, bytes, { signal, ifAbsent: true });
      const found = await storage.read(`${place}small`, undefined, signal);
      if (Buffer.compare(found, bytes) !== 0) throw failed("what was read is not what was written");
      const head = await storage.head(`${place}small`, signal);
      if (head?.sizeBytes !== bytes.length) throw failed(`its size is said to be ${head?.sizeBytes ?? "none"}`);
    },
  },
  {
    name: "keep the mark that tells whose object it is",
    rights: "writing",
    rightsInS3: "s3:PutObject on the objects",
    needs: [WRITE],
    run: async ({ place, signal, storage }) => {
      await storage.put(`${place}small`, randomBytes(1000), { signal, needsMark: true });
    },
  },
  {
    name: "find it in a list",
    rights: "listing",
    rightsInS3: "s3:ListBucket on the bucket",
    needs: [WRITE],
    run: async ({ place, signal, storage }) => {
      for await (const { name } of storage.list(place, signal)) if (name === `${place}small`) return;
      throw failed("an object that was written is not listed");
    },
  },
  {
    name: "create an object only where none is",
    rights: "writing",
    rightsInS3: "s3:PutObject on the objects",
    needs: [WRITE],
    run: async ({ place, signal, storage }) => {
      const options = { signal, ifAbsent: true };
      const error: unknown = await storage
        .put(`${place}small`, Buffer.from("2"), options)
        .catch((reason: unknown) => reason);
      if (isOperatingError(error, "repository_exists")) return;
      if (isOperatingError(error)) throw error;
      throw failed("the second write won", {
        hint: 'Use a storage that obeys conditional writes, or "conditional-put=off" in an s3: URI (docs/operating/off-site.md).',
      });
    },
  },
  {
    name: LARGE,
    rights: "uploads in parts",
    rightsInS3: "s3:PutObject, s3:AbortMultipartUpload, s3:ListMultipartUploadParts on the objects",
    run: async ({ place, signal, storage }) => {
      await using writer = await storage.openWriter(`${place}large`, { signal, ifAbsent: true });
      for (let offset = 0; offset < LARGE_BYTES; offset += PIECE_BYTES) await writer.write(numberedPiece(offset));
      const { sizeBytes } = await writer.finish();
      if (sizeBytes !== LARGE_BYTES) throw failed(`its size is said to be ${sizeBytes}`);
    },
  },
  {
    name: "read a part of it",
    rights: "reading",
    rightsInS3: "s3:GetObject on the objects",
    needs: [LARGE],
    run: async ({ place, signal, storage }) => {
      const range = { offset: LARGE_BYTES - PIECE_BYTES - 4, lengthBytes: 8 };
      const found = await storage.read(`${place}large`, range, signal);
      const before = numberedPiece(LARGE_BYTES - 2 * PIECE_BYTES).subarray(-4);
      const after = numberedPiece(LARGE_BYTES - PIECE_BYTES).subarray(0, 4);
      if (Buffer.compare(found, Buffer.concat([before, after])) !== 0)
        throw failed("it is not the part that was asked for");
    },
  },
  {
    name: "abort an upload, and leave nothing",
    rights: "aborting uploads",
    rightsInS3: "s3:AbortMultipartUpload on the objects, s3:ListBucketMultipartUploads on the bucket",
    needs: [LARGE],
    run: async ({ place, signal, storage }) => {
      const writer = await storage.openWriter(`${place}aborted`, { signal });
      for (let offset = 0; offset < LARGE_BYTES; offset += PIECE_BYTES) await writer.write(numberedPiece(offset));
      await writer.abort();
      if ((await storage.head(`${place}aborted`, signal)) !== null) throw failed("an aborted upload is there");
      for await (const { name } of storage.leftovers(signal)) {
        if (name.startsWith(`${place}aborted`)) throw failed("an aborted upload is still kept");
      }
    },
  },
  {
    name: "delete",
    rights: "deleting",
    rightsInS3: "s3:DeleteObject on the objects",
    needs: [WRITE],
    run: async ({ place, signal, storage }) => {
      for (const name of ["small", "large", "none"]) await storage.delete(place + name, signal);
      for await (const { name } of storage.list(place, signal)) throw failed(`"${name}" is still listed`);
    },
  },
];

/** The checks in their order: those that write nothing first. */
export function checksFor(isReadOnly: boolean): readonly Check[] {
  return isReadOnly ? READ_CHECKS : [...READ_CHECKS, ...WRITE_CHECKS];
}

/** Bytes that differ by their place. */
function numberedPiece(offset: number): Buffer {
  const piece = Buffer.alloc(PIECE_BYTES, (offset / PIECE_BYTES) % 251);
  piece.writeUInt32BE(offset, 0);
  piece.writeUInt32BE(offset + 1, PIECE_BYTES - 4);
  return piece;
}

function failed(message: string, options: { readonly hint?: string } = {}): OperatingError {
  return new OperatingError("storage_failed", message, options);
}
