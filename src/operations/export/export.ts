// `cairn export`: a restore point as one stock archive. Frames go into the file as they are stored wherever the archive
// takes zstd; shared chunks of large objects, and other compressions, are encoded anew. Where the manifest tells how long
// all data will be, the file is written once from front to back, and its checksum is made meanwhile.

import {
  convertToc,
  CustomArchiveWriter,
  type CompressionAlgorithm,
  type ConvertedToc,
  type ExpectedData,
  type TocEntry,
} from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { planArchive, withPlannedHeader, type ArchivePlan } from "../archive-file/archive-plan.ts";
import { checkFileTarget, checkFreeSpace, TemporaryFile } from "../archive-file/file-sink.ts";
import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { TAG_BYTES, type UnsealedChunk } from "../../repository/index.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { readAhead } from "./read-ahead.ts";
import type { ExportReport, ExportSettings } from "./types.ts";

const PROGRESS_INTERVAL_MS = 200;
/** Of plain text; a smaller file is hashed at its end in less time than a thread takes to start. */
const HASHED_ALONG_BYTES_MIN = 64 * MIB;

interface Counts {
  rowCount: number;
  rawBytes: number;
}

/** Writes a restore point out. Anything less than all of it leaves no file and throws. */
export async function runExport(context: OperationContext, settings: ExportSettings): Promise<ExportReport> {
  const startedAtMs = performance.now();
  if (settings.format !== "custom") {
    throw new OperatingError("usage", `format "${settings.format}" cannot be written yet`, {
      hint: "Use --format custom.",
    });
  }
  const path = await checkFileTarget(settings);
  beginPhase(context, "open", "opening the restore point");
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openRestorePoint(id, context.signal);
  const contents = await RestorePointContents.open(restorePoint);
  const plan = planArchive(contents.toc, settings);
  const { totals } = restorePoint.manifest;
  await checkFreeSpace(path, plan.algorithm === "none" ? totals.rawBytes : totals.sealedBytes);

  beginPhase(context, "write", `writing ${path}`);
  await using file = await TemporaryFile.create({ file: path, overwrite: settings.overwrite });
  const counts = await writeContents(context, { contents, plan, file, totalBytes: totals.rawBytes });
  if (counts.rowCount !== totals.rows) {
    throw new OperatingError("corrupt", `${counts.rowCount} rows were written, the restore point has ${totals.rows}`);
  }
  await file.drain();
  const [sha256] = await Promise.all([file.sha256(context.signal), file.sync()]);
  const { sizeBytes } = file;
  await file.publish();
  return {
    restorePointId: id,
    file: path,
    sizeBytes,
    sha256,
    archiveVersion: plan.version,
    compression: plan.compression,
    readableBy: plan.readableBy,
    ...counts,
    durationMs: Math.round(performance.now() - startedAtMs),
  };
}

interface Writing {
  readonly contents: RestorePointContents;
  readonly plan: ArchivePlan;
  readonly file: TemporaryFile;
  readonly totalBytes: number;
}

async function writeContents(context: OperationContext, writing: Writing): Promise<Counts> {
  const { contents, plan, file, totalBytes } = writing;
  const converted: ConvertedToc = convertToc(withPlannedHeader(contents.toc, plan), plan.version);
  const writer = await CustomArchiveWriter.create(file, converted.toc, expectedData(contents, converted, plan));
  if (writer.expectsAllOffsets && totalBytes >= HASHED_ALONG_BYTES_MIN) file.startHash();
  const counts: Counts = { rowCount: 0, rawBytes: 0 };
  const sources = new Map(contents.toc.entries.map((entry) => [entry.dumpId, entry]));
  const report = reporter(context, writing, counts);
  for (const entry of converted.toc.entries) {
    if (!entry.hadDumper) continue;
    const from = (converted.mapping.get(entry.dumpId) ?? []).map((dumpId) => sources.get(dumpId)!);
    const entryWriting = { writer, entry, from, contents, algorithm: plan.algorithm, counts, report };
    if (entry.description === "BLOBS") await writeLargeObjects(context, entryWriting);
    else await writeTable(context, entryWriting);
  }
  await writer.finish();
  return counts;
}

/** By dump id: how long tables' data will be, if their chunks go into the archive as they are. */
function expectedData(
  { restorePoint }: RestorePointContents,
  { mapping }: ConvertedToc,
  { algorithm }: ArchivePlan,
): Map<number, ExpectedData> {
  const expected = new Map<number, ExpectedData>();
  for (const [dumpId, from] of mapping) {
    const relation = from.length === 1 ? restorePoint.findRelation({ dumpId: from[0]! }) : null;
    if (relation === null) continue;
    const { chunkCount: blockCount, rawBytes, sealedBytes } = relation;
    expected.set(dumpId, {
      blockCount,
      sizeBytes: algorithm === "none" ? rawBytes : sealedBytes - blockCount * TAG_BYTES,
    });
  }
  return expected;
}

interface EntryWriting {
  readonly writer: CustomArchiveWriter;
  readonly entry: TocEntry;
  readonly from: readonly TocEntry[];
  readonly contents: RestorePointContents;
  readonly algorithm: CompressionAlgorithm;
  readonly counts: Counts;
  readonly report: () => void;
}

async function writeTable(context: OperationContext, writing: EntryWriting): Promise<void> {
  const { writer, entry, from } = writing;
  const source = from[0];
  assert(source !== undefined && from.length === 1, "a table's data comes from one entry");
  await writer.beginTableData(entry);
  if (writing.algorithm === "zstd") await writeFrames(context, writing, source);
  else await writeText(context, writing, source);
  await writer.endTableData();
}

async function writeFrames(
  context: OperationContext,
  { writer, contents, counts, report }: EntryWriting,
  source: TocEntry,
): Promise<void> {
  for await (const chunk of contents.tableChunks(source, context.signal)) {
    await writeChunk(writer, chunk);
    counts.rowCount += chunk.reference.rowCount;
    counts.rawBytes += chunk.reference.rawLengthBytes;
    report();
  }
}

async function writeChunk(writer: CustomArchiveWriter, { encoding, bytes }: UnsealedChunk): Promise<void> {
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
      await writer.beginLargeObject(object.oid);
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

function reporter(context: OperationContext, { file, totalBytes }: Writing, counts: Counts): () => void {
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    context.signal.throwIfAborted();
    const nowMs = performance.now();
    if (nowMs - reportedAtMs < PROGRESS_INTERVAL_MS) return;
    reportedAtMs = nowMs;
    const fractionDone = totalBytes === 0 ? 1 : counts.rawBytes / totalBytes;
    const progress = { ...counts, storedBytes: file.sizeBytes, fractionDone, tablesDone: 0, tablesTotal: 0 };
    context.onEvent({ type: "progress", progress });
  };
}
