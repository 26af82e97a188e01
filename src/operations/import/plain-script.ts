// A script of plain SQL in a repository: its text as one relation, to be written out again byte by byte, and a table of
// contents with a single entry that has no data and no SQL, so that no restore and no archive can ever hold the script.

import { basename } from "node:path";

import type { Toc } from "../../archive/index.ts";
import type { PlainSource } from "../archive-source/index.ts";
import type { RowsSource } from "./import-data.ts";

const PLAIN_DUMP_ID = 1;
const READ_BYTES = 1024 * 1024;

/** What stands for a script where an archive has its table of contents. */
export function plainToc(path: string): Toc {
  const name = basename(path);
  const texts = { definition: "", dropStatement: "", copyStatement: "", owner: "" };
  const places = { namespace: null, tablespace: null, tableAccessMethod: null, relationKind: "" };
  return {
    header: {
      version: "1.16",
      format: "custom",
      intSizeBytes: 4,
      offsetSizeBytes: 8,
      compression: "none",
      compressionLevel: 0,
      createdAt: { second: 0, minute: 0, hour: 0, monthDay: 0, month: 0, yearsSince1900: 0, isDst: 0 },
      databaseName: name,
      serverVersion: "unknown",
      pgDumpVersion: "unknown",
    },
    textEncoding: "utf8",
    entries: [
      {
        dumpId: PLAIN_DUMP_ID,
        hadDumper: false,
        catalogId: { tableOid: 0, oid: 0 },
        tag: name,
        description: "QUARANTINED PLAIN SQL",
        section: "none",
        ...texts,
        ...places,
        dependencies: [],
      },
    ],
  };
}

/** The script's text; lines are counted for rows. */
export function plainTextOf({ path, source }: PlainSource, signal: AbortSignal): RowsSource {
  async function* read(): AsyncGenerator<Uint8Array, void, void> {
    for (let offset = 0; offset < source.sizeBytes;) {
      signal.throwIfAborted();
      const bytes = await source.read(offset, READ_BYTES);
      if (bytes.byteLength === 0) return;
      offset += bytes.byteLength;
      yield bytes;
    }
  }
  return { dumpId: PLAIN_DUMP_ID, oid: 0, namespace: "", name: basename(path), text: read() };
}
