// Large objects of a BLOBS entry: written into objects that their metadata entries have created, all in one
// transaction. Source: pg_backup_archiver.c (18), StartRestoreLO; PostgreSQL manual, "Large Objects".

import type { ArchiveContents, TocEntry } from "../archive/index.ts";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import type { RestoreWorker } from "./worker.ts";

// Functions of the catalog, by oid: the same in all versions.
const LO_OPEN = 952;
const LO_CLOSE = 953;
const LOWRITE = 955;

const INV_WRITE = 0x20000;

/** Bytes of one write; the server holds them in memory. */
const WRITE_BYTES_MAX = 4 * MIB;

/** Writes the objects of an entry; returns how many. The caller holds a transaction. Throws at the first error. */
export async function loadLargeObjects(
  worker: RestoreWorker,
  entry: TocEntry,
  contents: ArchiveContents,
  onData: (sizeBytes: number) => void,
): Promise<number> {
  const { session, signal } = worker;
  let count = 0;
  for await (const piece of contents.largeObjects(entry, signal)) {
    const descriptor = await session.functionCall(LO_OPEN, [int32(piece.oid), int32(INV_WRITE)], { signal });
    assert(descriptor !== null, "lo_open() gives a descriptor");
    for await (const bytes of piece.read(signal)) {
      for (let offset = 0; offset < bytes.length; offset += WRITE_BYTES_MAX) {
        const part = bytes.subarray(offset, offset + WRITE_BYTES_MAX);
        await session.functionCall(LOWRITE, [descriptor, part], { signal });
        onData(part.length);
      }
    }
    await session.functionCall(LO_CLOSE, [descriptor], { signal });
    count += 1;
  }
  return count;
}

function int32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
