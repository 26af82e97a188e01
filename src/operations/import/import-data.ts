// Takes the data of an archive into a run: rows cut anew at row ends, counted; large objects, small ones sharing a chunk.
// One table after another; memory is a few chunks, whatever the archive.

import type { ArchiveContents, TocEntry } from "../../archive/index.ts";
// The pure file itself: the room's front door would load all that reads a database.
import { TextCutter } from "../../dump/text-cutter.ts";
import type { ChunkReference, LargeObjectSet, RelationRecord, Run } from "../../repository/index.ts";
import { LargeObjectSets } from "../backup/large-object-sets.ts";
import { CHUNK_SIZE_BYTES, ChunkStorer, type ChunkText } from "./chunk-storer.ts";
import { knownLargeObjectChunks, knownTableChunks } from "./known-chunks.ts";
import { LargeObjectCutter } from "./large-object-cutter.ts";

/** Chunks of a table that are gathered before they are written into its list. */
const LISTED_TOGETHER = 256;

export interface DataImport {
  readonly run: Run;
  readonly secret: Uint8Array | null;
  readonly signal: AbortSignal;
  readonly onProgress: (added: { readonly rawBytes: number; readonly rowCount: number }) => void;
}

/** Where rows come from. */
export interface RowsSource {
  readonly dumpId: number;
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  readonly text: AsyncIterable<Uint8Array>;
}

/** The COPY text of an entry. */
export function rowsOfEntry(contents: ArchiveContents, entry: TocEntry, signal: AbortSignal): RowsSource {
  return {
    dumpId: entry.dumpId,
    oid: entry.catalogId.oid,
    namespace: entry.namespace ?? "",
    name: entry.tag,
    text: textOf(contents, entry, signal),
  };
}

async function* textOf(
  contents: ArchiveContents,
  entry: TocEntry,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of contents.tableData(entry, signal)) yield await piece.load(signal);
}

/** Stores rows; the record of their table. */
export async function importRows(
  source: RowsSource,
  { run, secret, signal, onProgress }: DataImport,
): Promise<RelationRecord> {
  const { dumpId, oid, namespace, name } = source;
  const list = run.openSegmentList();
  let gathered: ChunkReference[] = [];
  let isBegun = false;
  const flush = async (): Promise<void> => {
    const chunks = gathered;
    gathered = [];
    const rowCount = chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
    await list.add({ firstBlock: 0, blockCount: null, rowCount, chunks, continuesPrevious: isBegun });
    isBegun = true;
  };
  const storer = new ChunkStorer({
    run,
    secret,
    kind: "table",
    known: await knownTableChunks(run, source),
    onStored: async (chunk) => {
      gathered.push(chunk);
      if (gathered.length >= LISTED_TOGETHER) await flush();
    },
  });
  const cut: ChunkText[] = [];
  const cutter = new TextCutter(CHUNK_SIZE_BYTES, (text, rowCount, continues) => {
    cut.push({ text: Buffer.from(text), rowCount, continues });
  });
  const store = async (): Promise<void> => {
    for (const chunk of cut.splice(0)) {
      signal.throwIfAborted();
      await storer.add(chunk);
      onProgress({ rawBytes: chunk.text.length, rowCount: chunk.rowCount });
    }
  };
  for await (const text of source.text) {
    cutter.push(text);
    await store();
  }
  cutter.finish();
  await store();
  await storer.finish();
  if (gathered.length > 0 || !isBegun) await flush();
  const { objectCount: _, ...sums } = await list.finish();
  return { ...sums, dumpId, oid, namespace, name, storage: null, blockCount: null, segmentBlocks: null };
}

/** Stores all large objects of an archive; the sets of its BLOBS entries. */
export async function importLargeObjects(
  contents: ArchiveContents,
  entries: readonly TocEntry[],
  { run, secret, signal, onProgress }: DataImport,
): Promise<readonly LargeObjectSet[]> {
  const sets = new LargeObjectSets(run);
  const known = await knownLargeObjectChunks(run);
  const cutter = new LargeObjectCutter(sets, { run, secret, known });
  for (const entry of entries) {
    for await (const object of contents.largeObjects(entry, signal)) {
      await cutter.begin(entry.dumpId, object.oid);
      for await (const bytes of object.read(signal)) {
        await cutter.push(bytes);
        onProgress({ rawBytes: bytes.length, rowCount: 0 });
      }
      await cutter.end();
    }
  }
  await cutter.finish();
  return await sets.finish(entries.map(({ dumpId }) => dumpId));
}
