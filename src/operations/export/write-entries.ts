// The data of a restore point into a writer of any archive format, entry by entry. Frames go as they are stored wherever the
// archive takes zstd; deltas, shared chunks of large objects, and other compressions, are encoded anew.

import {
  compressFrame,
  type ArchiveWriter,
  type CompressionAlgorithm,
  type ConvertedToc,
  type TocEntry,
} from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { freeBuffer } from "../../base/free-buffer.ts";
import type { UnsealedChunk } from "../../repository/index.ts";
import type { OperationContext } from "../operation.ts";
import type { RestorePointContents } from "../restore-point-contents.ts";
import { readAhead } from "./read-ahead.ts";

const PROGRESS_INTERVAL_MS = 200;

/** What was written so far. */
export interface Counts {
  rowCount: number;
  rawBytes: number;
}

/** What writeEntries() writes, and where. */
export interface ContentsWriting {
  readonly writer: ArchiveWriter;
  readonly contents: RestorePointContents;
  readonly converted: ConvertedToc;
  readonly algorithm: CompressionAlgorithm;
  /** Of that algorithm. */
  readonly level: number;
  readonly counts: Counts;
  readonly report: () => void;
}

/** Writes the data of all entries, in the order of the table of contents. */
export async function writeEntries(context: OperationContext, writing: ContentsWriting): Promise<void> {
  const { converted, contents, ...common } = writing;
  const sources = new Map(contents.toc.entries.map((entry) => [entry.dumpId, entry]));
  const lengths = contents.sizes;
  for (const entry of converted.toc.entries) {
    if (!entry.hadDumper) continue;
    const from = (converted.mapping.get(entry.dumpId) ?? []).map((dumpId) => sources.get(dumpId)!);
    const lengthBytes = from[0] === undefined ? undefined : lengths.get(from[0].dumpId);
    const entryWriting = { ...common, entry, from, contents, lengthBytes };
    if (entry.description === "BLOBS") await writeLargeObjects(context, entryWriting);
    else await writeTable(context, entryWriting);
  }
}

interface EntryWriting extends Omit<ContentsWriting, "converted"> {
  readonly entry: TocEntry;
  readonly from: readonly TocEntry[];
  /** Of a table's rows. */
  readonly lengthBytes: number | undefined;
}

async function writeTable(context: OperationContext, writing: EntryWriting): Promise<void> {
  const { writer, entry, from } = writing;
  const source = from[0];
  assert(source !== undefined && from.length === 1, "a table's data comes from one entry");
  await writer.beginTableData(entry, writing.lengthBytes);
  if (writing.algorithm === "zstd") await writeFrames(context, writing, source);
  else await writeText(context, writing, source);
  await writer.endTableData();
}

async function writeFrames(
  context: OperationContext,
  { writer, contents, level, counts, report }: EntryWriting,
  source: TocEntry,
): Promise<void> {
  const frames = readAhead(contents.tableChunks(source, context.signal), async ({ reference, encoding, bytes }) => {
    if (encoding === "zstd") return { reference, frame: bytes };
    const frame = await compressFrame(bytes, level);
    freeBuffer(bytes);
    return { reference, frame };
  });
  for await (const { reference, frame } of frames) {
    await writer.writeFrame(frame, true);
    counts.rowCount += reference.rowCount;
    counts.rawBytes += reference.rawLengthBytes;
    report();
  }
}

async function writeChunk(writer: ArchiveWriter, { encoding, bytes }: UnsealedChunk): Promise<void> {
  if (encoding === "zstd") await writer.writeFrame(bytes, true);
  else await writer.writePlain(bytes);
}

async function writeText(
  context: OperationContext,
  { writer, contents, counts, report }: EntryWriting,
  source: TocEntry,
): Promise<void> {
  const loaded = readAhead(contents.tableData(source, context.signal), async (piece) => {
    return { piece, text: await piece.load(context.signal) };
  });
  for await (const { piece, text } of loaded) {
    await writer.writePlain(text);
    counts.rowCount += piece.rowCount ?? 0;
    counts.rawBytes += piece.rawLengthBytes;
    report();
  }
}

async function writeLargeObjects(context: OperationContext, writing: EntryWriting): Promise<void> {
  const { writer, entry, from, contents, algorithm, counts, report } = writing;
  await writer.beginLargeObjects(entry);
  for (const source of from) {
    for await (const object of contents.largeObjects(source, context.signal)) {
      await writer.beginLargeObject(object.oid, object.lengthBytes);
      if (algorithm === "zstd" && object.readChunks !== null) {
        for await (const chunk of object.readChunks(context.signal)) await writeChunk(writer, chunk);
      } else {
        for await (const bytes of object.read(context.signal)) await writer.writePlain(bytes);
      }
      await writer.endLargeObject();
      counts.rawBytes += object.lengthBytes;
      report();
    }
  }
  await writer.endLargeObjects();
}

/** Reports progress now and then; throws when the export is cancelled. */
export function reporter(
  context: OperationContext,
  { counts, totalBytes, storedBytes }: { counts: Counts; totalBytes: number; storedBytes: () => number },
): () => void {
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    context.signal.throwIfAborted();
    const nowMs = performance.now();
    if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS) return;
    reportedAtMs = nowMs;
    const fractionDone = totalBytes === 0 ? 1 : counts.rawBytes / totalBytes;
    const progress = { ...counts, storedBytes: storedBytes(), fractionDone, tablesDone: 0, tablesTotal: 0 };
    context.onEvent({ type: "progress", progress });
  };
}
