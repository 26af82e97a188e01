// A restore point into an archive of the custom, tar or directory format. Where the manifest tells how long all data will
// be, a custom archive is written once from front to back, and its checksum is made meanwhile.

import {
  convertToc,
  CustomArchiveWriter,
  MemberArchiveWriter,
  TarSink,
  type ArchiveTime,
  type ConvertedToc,
  type ExpectedData,
} from "../../archive/index.ts";
import { MIB } from "../../base/units.ts";
import { TAG_BYTES } from "../../repository/index.ts";
import { sqlScript } from "../../restore/index.ts";
import { withPlannedHeader, type ArchivePlan } from "../archive-file/archive-plan.ts";
import type { TemporaryFile } from "../archive-file/file-sink.ts";
import type { TemporaryFolder } from "../archive-file/folder-sink.ts";
import type { OperationContext } from "../operation.ts";
import type { RestorePointContents } from "../restore-point-contents.ts";
import { reporter, writeEntries, type Counts } from "./write-entries.ts";

/** Of plain text; a smaller file is hashed at its end in less time than a thread takes to start. */
const HASHED_ALONG_BYTES_MIN = 64 * MIB;

const SCRIPT_MEMBER_NAME = "restore.sql";

const SCRIPT_HEAD =
  "--\n-- NOTE:\n--\n-- File paths need to be edited. Search for $$PATH$$ and\n" +
  "-- replace it with the path to the directory containing\n-- the extracted data files.\n--\n";

/** What is written, and how. */
export interface ArchiveWriting {
  readonly contents: RestorePointContents;
  readonly plan: ArchivePlan;
  readonly totalBytes: number;
}

/** Writes a custom archive. */
export async function writeCustom(
  context: OperationContext,
  file: TemporaryFile,
  writing: ArchiveWriting,
): Promise<Counts> {
  const { contents, plan, totalBytes } = writing;
  const converted = convert(writing);
  const writer = await CustomArchiveWriter.create(file, converted.toc, expectedData(contents, converted, plan));
  if (writer.expectsAllOffsets && totalBytes >= HASHED_ALONG_BYTES_MIN) file.startHash();
  return await writeAll(context, writing, { writer, converted, sink: file });
}

/** Writes a tar archive, with a script for those who have only tar and psql. */
export async function writeTar(
  context: OperationContext,
  file: TemporaryFile,
  writing: ArchiveWriting,
): Promise<Counts> {
  const { contents, totalBytes } = writing;
  const converted = convert(writing);
  const sink = new TarSink((bytes) => file.write(bytes), secondsOf(contents.toc.header.createdAt));
  const writer = await MemberArchiveWriter.create(sink, converted.toc);
  if (totalBytes >= HASHED_ALONG_BYTES_MIN) file.startHash();
  const counts = await writeAll(context, writing, { writer, converted, sink: file });
  await writer.writeMember(SCRIPT_MEMBER_NAME, await tarScript(contents));
  await sink.finish();
  return counts;
}

/** Writes a directory archive. */
export async function writeDirectory(
  context: OperationContext,
  folder: TemporaryFolder,
  writing: ArchiveWriting,
): Promise<Counts> {
  const converted = convert(writing);
  const writer = await MemberArchiveWriter.create(folder, converted.toc);
  return await writeAll(context, writing, { writer, converted, sink: folder });
}

/** The data of all entries, and the end. */
async function writeAll(
  context: OperationContext,
  { contents, plan, totalBytes }: ArchiveWriting,
  to: {
    readonly writer: CustomArchiveWriter | MemberArchiveWriter;
    readonly converted: ConvertedToc;
    readonly sink: { readonly sizeBytes: number };
  },
): Promise<Counts> {
  const { writer, converted, sink } = to;
  const counts: Counts = { rowCount: 0, rawBytes: 0 };
  const report = reporter(context, { counts, totalBytes, storedBytes: () => sink.sizeBytes });
  const { algorithm, level } = plan;
  await writeEntries(context, { writer, contents, converted, algorithm, level, counts, report });
  await writer.finish();
  return counts;
}

function convert({ contents, plan }: ArchiveWriting): ConvertedToc {
  return convertToc(withPlannedHeader(contents.toc, plan), plan.version);
}

/** By dump id: how long tables' data will be, where their chunks go into the archive as they are. A delta is compressed anew. */
function expectedData(
  { restorePoint }: RestorePointContents,
  { mapping }: ConvertedToc,
  { algorithm }: ArchivePlan,
): Map<number, ExpectedData> {
  const expected = new Map<number, ExpectedData>();
  for (const [dumpId, from] of mapping) {
    const relation = from.length === 1 ? restorePoint.findRelation({ dumpId: from[0]! }) : null;
    if (relation === null) continue;
    const { chunkCount: blockCount, deltaChunkCount = 0, rawBytes, sealedBytes } = relation;
    if (algorithm !== "none" && deltaChunkCount > 0) continue;
    expected.set(dumpId, {
      blockCount,
      sizeBytes: algorithm === "none" ? rawBytes : sealedBytes - blockCount * TAG_BYTES,
    });
  }
  return expected;
}

/** The definitions, and a COPY from its file for each table; large objects are not in it. */
async function tarScript(contents: RestorePointContents): Promise<Buffer> {
  const parts: Uint8Array[] = [Buffer.from(SCRIPT_HEAD, "latin1")];
  const dataFileName = ({ description, dumpId }: { description: string; dumpId: number }): string | null =>
    description === "BLOBS" ? null : `${dumpId}.dat`;
  for await (const part of sqlScript(contents, { restrictKey: null, dataFileName })) parts.push(part);
  return Buffer.concat(parts);
}

/** The archive's local time, taken for UTC: for the members' headers, at which nobody looks. */
function secondsOf({ yearsSince1900, month, monthDay, hour, minute, second }: ArchiveTime): number {
  const seconds = Date.UTC(yearsSince1900 + 1900, month, monthDay, hour, minute, second) / 1000;
  return Number.isNaN(seconds) ? 0 : seconds;
}
