// `cairn export`: a restore point as one stock archive. Frames go into the file as they are stored wherever the archive
// takes zstd; shared chunks of large objects, and other compressions, are encoded anew.

import {
  convertToc,
  CustomArchiveWriter,
  type ArchiveContents,
  type ConvertedToc,
  type TocEntry,
} from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { planArchive, withPlannedHeader, type ArchivePlan } from "../archive-file/archive-plan.ts";
import { checkFileTarget, checkFreeSpace, TemporaryFile } from "../archive-file/file-sink.ts";
import { hashFile } from "../archive-file/read-back.ts";
import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { readAhead } from "./read-ahead.ts";
import type { ExportReport, ExportSettings } from "./types.ts";

const PROGRESS_INTERVAL_MS = 200;

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
  const [sha256] = await Promise.all([hashFile(file.handle, context.signal), file.sync()]);
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
  readonly contents: ArchiveContents;
  readonly plan: ArchivePlan;
  readonly file: TemporaryFile;
  readonly totalBytes: number;
}

async function writeContents(context: OperationContext, writing: Writing): Promise<Counts> {
  const { contents, plan, file } = writing;
  const converted: ConvertedToc = convertToc(withPlannedHeader(contents.toc, plan), plan.version);
  const writer = await CustomArchiveWriter.create(file, converted.toc);
  const counts: Counts = { rowCount: 0, rawBytes: 0 };
  const sources = new Map(contents.toc.entries.map((entry) => [entry.dumpId, entry]));
  const report = reporter(context, writing, counts);
  for (const entry of converted.toc.entries) {
    if (!entry.hadDumper) continue;
    const from = (converted.mapping.get(entry.dumpId) ?? []).map((dumpId) => sources.get(dumpId)!);
    if (entry.description === "BLOBS") await writeLargeObjects(context, { writer, entry, from, contents, counts });
    else await writeTable(context, { writer, entry, from, contents, counts }, plan, report);
  }
  await writer.finish();
  return counts;
}

interface EntryWriting {
  readonly writer: CustomArchiveWriter;
  readonly entry: TocEntry;
  readonly from: readonly TocEntry[];
  readonly contents: ArchiveContents;
  readonly counts: Counts;
}

async function writeTable(
  context: OperationContext,
  { writer, entry, from, contents, counts }: EntryWriting,
  plan: ArchivePlan,
  report: () => void,
): Promise<void> {
  const source = from[0];
  assert(source !== undefined && from.length === 1, "a table's data comes from one entry");
  await writer.beginTableData(entry);
  const loaded = readAhead(contents.tableData(source, context.signal), async (piece) => {
    const frame = plan.algorithm === "zstd" ? await piece.loadFrame(context.signal) : null;
    const isUsable = frame?.encoding === "zstd";
    return { piece, frame: isUsable ? frame.bytes : null, text: isUsable ? null : await piece.load(context.signal) };
  });
  for await (const { piece, frame, text } of loaded) {
    if (frame !== null) await writer.writeFrame(frame);
    else await writer.writePlain(text!);
    counts.rowCount += piece.rowCount ?? 0;
    counts.rawBytes += piece.rawLengthBytes;
    report();
  }
  await writer.endTableData();
}

async function writeLargeObjects(context: OperationContext, writing: EntryWriting): Promise<void> {
  const { writer, entry, from, contents, counts } = writing;
  await writer.beginLargeObjects(entry);
  for (const source of from) {
    for await (const object of contents.largeObjects(source, context.signal)) {
      await writer.beginLargeObject(object.oid);
      for await (const bytes of object.read(context.signal)) {
        counts.rawBytes += bytes.length;
        await writer.writePlain(bytes);
      }
      await writer.endLargeObject();
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
