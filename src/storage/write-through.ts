// Puts bytes that are at hand through a writer, for storages and sizes that know no shorter way.

import type { ObjectWriter, StoredObject, WrittenContent } from "./storage.ts";

/** Writes all of an object and finishes it; whatever fails, the writer is given up. */
export async function writeThrough(
  writer: ObjectWriter,
  bytes: Uint8Array,
  expected?: WrittenContent,
): Promise<StoredObject> {
  try {
    await writer.write(bytes);
    return await writer.finish(expected);
  } finally {
    await writer.abort();
  }
}
