// `cairn dump`: one stock archive in one file, read by several readers in one snapshot, read back before it gets its name.

import { rename, rm, writeFile } from "node:fs/promises";

import { convertToc, CustomArchiveWriter, type ConvertedToc } from "../../archive/index.ts";
import { formatVersion } from "../../postgres/index.ts";
import { defaultJobs, readDump, type ChunkOptions, type Dump } from "../../dump/index.ts";
import { planArchive, withPlannedHeader, type ArchivePlan } from "../archive-file/archive-plan.ts";
import { checkFileTarget, checkFreeSpace, fileFailure, TemporaryFile } from "../archive-file/file-sink.ts";
import { compareCounts, hashFile, readBackArchive, type ReadBackResult } from "../archive-file/read-back.ts";
import { beginPhase } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { ProgressReporter } from "../progress-reporter.ts";
import { openSourceDump } from "../source/open-source.ts";
import { warnOfAlteredSchemas } from "../source/warn-of-names.ts";
import { settleSource, type SettledSource } from "../source/settle-source.ts";
import { OrderedArchiveSink } from "./ordered-sink.ts";
import type { DumpReceipt, DumpSettings } from "./types.ts";

/** COPY text of a chunk. */
const CHUNK_SIZE_BYTES = 2 * 1024 * 1024;

/** Writes one archive file with its receipt. Anything less leaves no file and throws. */
export async function runDump(context: OperationContext, settings: DumpSettings): Promise<DumpReceipt> {
  const startedAt = new Date();
  const path = await checkFileTarget(settings);
  beginPhase(context, "connect", "connecting to the source");
  const source = await settleSource(context, settings);

  await using file = await TemporaryFile.create({ file: path, overwrite: settings.overwrite });
  const written = await writeArchive(context, { source, settings, file });

  beginPhase(context, "read-back", "reading the archive back");
  const readBackStartMs = performance.now();
  const readBack = await readBackArchive(file.handle, context.signal);
  compareCounts(written, readBack);
  const readBackMs = performance.now() - readBackStartMs;
  const sha256 = await hashFile(file.handle, context.signal);
  const { size: sizeBytes } = await file.handle.stat();
  const receipt = makeReceipt({ path, sizeBytes, sha256, source, written, readBack, readBackMs, startedAt });
  await publishWithReceipt(file, receipt);
  return receipt;
}

interface Writing {
  readonly source: SettledSource;
  readonly settings: DumpSettings;
  readonly file: TemporaryFile;
}

/** What is known of an archive once it is written; small, so that the source's contents can be forgotten. */
interface Written {
  readonly plan: ArchivePlan;
  readonly entryCount: number;
  readonly snapshotTakenAt: string;
  readonly pgDumpMessages: string;
  readonly nameWarnings: readonly string[];
  readonly tables: readonly {
    readonly dumpId: number;
    readonly name: string;
    readonly rowCount: number;
    readonly rawBytes: number;
  }[];
  /** Large objects in the table of contents. */
  readonly largeObjectCount: number;
  readonly rawBytes: number;
}

/** Reads the source into the file. Its snapshot and locks end here: reading back needs neither. */
async function writeArchive(context: OperationContext, { source, settings, file }: Writing): Promise<Written> {
  await using dump = await openSourceDump(context, source);
  const plan = planArchive(dump.toc, settings);
  await checkFreeSpace(file.temporaryPath, leastSizeBytes(dump, plan));
  const jobs = settings.jobs ?? defaultJobs();
  const converted: ConvertedToc = convertToc(withPlannedHeader(dump.toc, plan), plan.version);
  const writer = await CustomArchiveWriter.create(file, converted.toc);
  const sink = new OrderedArchiveSink(writer, converted, dump, plan.algorithm === "zstd" || plan.algorithm === "none");
  beginPhase(context, "read", `reading ${dump.tables.length} tables with ${jobs} readers`);
  const progress = new ProgressReporter(context, dump, () => sink);
  await readDump(dump, {
    jobs,
    signal: context.signal,
    sink,
    chunks: chunkOptions(plan),
    onTaskStarted: (task, reader) => progress.taskStarted(task, reader),
    onTaskDone: (task, reader) => progress.taskDone(task, reader),
  });
  await sink.finish();
  await writer.finish();
  await file.sync();
  const tables = [...sink.tables.values()].map(({ table, rowCount, rawBytes }) => {
    return { dumpId: table.dumpId, name: tableName(table.relation), rowCount, rawBytes };
  });
  const largeObjectCount = dump.largeObjectBuckets.reduce((sum, { oids }) => sum + oids.length, 0);
  const { rawBytes } = sink;
  const { toc, snapshot, pgDumpMessages } = dump;
  const nameWarnings = warnOfAlteredSchemas(context, dump);
  const facts = { entryCount: toc.entries.length, snapshotTakenAt: snapshot.takenAt, pgDumpMessages, nameWarnings };
  return { plan, ...facts, tables, largeObjectCount, rawBytes };
}

const BLOCK_SIZE_BYTES = 8192;
/** COPY text of most tables shrinks less than this; the check only spares a long run that could not succeed. */
const SHRINKING_MAX = 8;

/** What the selected tables need at least, by the blocks of their heaps. */
function leastSizeBytes(dump: Dump, plan: ArchivePlan): number {
  const blockCount = dump.tables.reduce((sum, { relation }) => sum + relation.blockCount, 0);
  return (blockCount * BLOCK_SIZE_BYTES) / (plan.algorithm === "none" ? 1 : SHRINKING_MAX);
}

function chunkOptions(plan: ArchivePlan): ChunkOptions {
  return {
    hashing: null,
    chunkSizeBytes: CHUNK_SIZE_BYTES,
    compression: { algorithm: plan.algorithm === "zstd" ? "zstd" : "none", level: plan.level },
    sharesLargeObjectChunks: false,
  };
}

function tableName(table: { readonly namespace: string; readonly name: string }): string {
  return `${table.namespace}.${table.name}`;
}

interface ReceiptFacts {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly source: SettledSource;
  readonly written: Written;
  readonly readBack: ReadBackResult;
  readonly readBackMs: number;
  readonly startedAt: Date;
}

function makeReceipt(facts: ReceiptFacts): DumpReceipt {
  const { source, written, readBack } = facts;
  const { plan } = written;
  const finishedAt = new Date();
  return {
    file: facts.path,
    sizeBytes: facts.sizeBytes,
    sha256: facts.sha256,
    archiveVersion: plan.version,
    compression: plan.compression,
    readableBy: plan.readableBy,
    source: source.description,
    databaseName: source.settings.database,
    serverVersion: source.serverVersionText,
    pgDump: {
      version: formatVersion(source.pgDump.version),
      path: "path" in source.pgDump ? source.pgDump.path : null,
    },
    startedAt: facts.startedAt.toISOString(),
    finishedAt: finishedAt.toISOString(),
    snapshotTakenAt: written.snapshotTakenAt,
    durationMs: finishedAt.getTime() - facts.startedAt.getTime(),
    entryCount: written.entryCount,
    tables: written.tables.map(({ name, rowCount, rawBytes }) => ({ name, rowCount, rawBytes })),
    rowCount: readBack.rowCount,
    rawBytes: readBack.rawBytes,
    largeObjectCount: readBack.largeObjectCount,
    readBack: { rowCount: readBack.rowCount, rawBytes: readBack.rawBytes, durationMs: Math.round(facts.readBackMs) },
    warnings: [
      ...source.warnings,
      ...(written.pgDumpMessages === "" ? [] : [written.pgDumpMessages]),
      ...written.nameWarnings,
    ],
  };
}

/** The receipt is durable before the archive gets its name: a disk that is full now leaves neither. */
async function publishWithReceipt(file: TemporaryFile, receipt: DumpReceipt): Promise<void> {
  const path = `${receipt.file}.receipt.json`;
  const temporary = `${path}.partial`;
  try {
    await writeFile(temporary, `${JSON.stringify(receipt, null, 2)}\n`, { mode: 0o600, flush: true }).catch(
      (error: unknown) => {
        throw fileFailure("could not write", temporary, error);
      },
    );
    await file.publish();
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
