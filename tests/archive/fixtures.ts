// Archives for tests: real ones of pg_dump from fixtures/, sources that give little at a time, sinks in memory, and a
// copier that reads and writes through the public interface only.

import { readFileSync } from "node:fs";

import type { LargeObjectPiece } from "../../src/archive/contents.ts";
import { convertToc } from "../../src/archive/convert-toc.ts";
import { CustomArchiveReader } from "../../src/archive/custom-archive-reader.ts";
import { CustomArchiveWriter, type ArchiveSink } from "../../src/archive/custom-archive-writer.ts";
import type { RandomAccessSource } from "../../src/archive/random-access-source.ts";
import type { ArchiveVersion, CompressionAlgorithm, Toc, TocEntry } from "../../src/archive/toc.ts";

/** Names of the fixtures, without their extension. */
export const SMALL_ARCHIVES = ["small-15", "small-17", "small-18"] as const;

export function readFixture(name: string): Buffer {
  return readFileSync(new URL(`fixtures/${name}`, import.meta.url));
}

/** A source that never gives more than one byte at a time. */
export function tricklingSource(bytes: Uint8Array): RandomAccessSource {
  return { sizeBytes: bytes.byteLength, read: async (offset) => bytes.subarray(offset, offset + 1) };
}

/** A sink in memory; with `canPatch` false it is a pipe. */
export function memorySink(canPatch: boolean): ArchiveSink & { bytes(): Buffer } {
  const parts: Uint8Array[] = [];
  let patched: Buffer | null = null;
  const bytes = (): Buffer => patched ?? Buffer.concat(parts);
  const write = async (part: Uint8Array): Promise<void> => {
    parts.push(Buffer.from(part));
  };
  if (!canPatch) return { write, bytes };
  const patch = async (offset: number, part: Uint8Array): Promise<void> => {
    patched = bytes();
    patched.set(part, offset);
  };
  return { write, patch, bytes };
}

export function findEntry(toc: Toc, description: string, tag: string): TocEntry {
  const entry = toc.entries.find((candidate) => candidate.description === description && candidate.tag === tag);
  if (entry === undefined) throw new Error(`no entry ${description} ${tag}`);
  return entry;
}

/** All rows of an entry as text. */
export async function rowsOf(reader: CustomArchiveReader, entry: TocEntry): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const piece of reader.tableData(entry)) parts.push(await piece.load());
  return Buffer.concat(parts).toString("utf8");
}

export async function bytesOf(piece: LargeObjectPiece): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of piece.read()) parts.push(bytes);
  return Buffer.concat(parts);
}

/** All large objects of all BLOBS entries, as hex, by OID. */
export async function largeObjectsOf(reader: CustomArchiveReader): Promise<Record<number, string>> {
  const contents: Record<number, string> = {};
  for (const entry of reader.toc.entries.filter((candidate) => candidate.description === "BLOBS")) {
    for await (const piece of reader.largeObjects(entry)) contents[piece.oid] = (await bytesOf(piece)).toString("hex");
  }
  return contents;
}

/** Reads everything there is to read. */
export async function readWhole(source: RandomAccessSource): Promise<void> {
  const reader = await CustomArchiveReader.open(source);
  for (const entry of reader.toc.entries.filter((candidate) => candidate.hadDumper)) {
    if (entry.description !== "BLOBS") await rowsOf(reader, entry);
  }
  await largeObjectsOf(reader);
}

/** What a copy shall be like; `canPatch` false writes as to a pipe. */
export interface Variant {
  readonly version: ArchiveVersion;
  readonly compression: CompressionAlgorithm;
  readonly canPatch: boolean;
}

/** Copies an archive into another version and compression, through the public interface only. */
export async function copyArchive(reader: CustomArchiveReader, variant: Variant): Promise<Buffer> {
  const { toc: converted, mapping } = convertToc(reader.toc, variant.version);
  const toc: Toc = { ...converted, header: { ...converted.header, compression: variant.compression } };
  const sink = memorySink(variant.canPatch);
  const writer = await CustomArchiveWriter.create(sink, toc);
  for (const entry of writer.waitingEntries.slice()) {
    const ids = mapping.get(entry.dumpId) ?? [];
    const sources = ids.map((id) => reader.toc.entries.find((candidate) => candidate.dumpId === id));
    await copyData(reader, writer, entry, sources);
  }
  await writer.finish();
  return sink.bytes();
}

async function copyData(
  reader: CustomArchiveReader,
  writer: CustomArchiveWriter,
  entry: TocEntry,
  sources: readonly (TocEntry | undefined)[],
): Promise<void> {
  if (entry.description === "BLOBS") {
    await writer.beginLargeObjects(entry);
    for (const source of sources) {
      if (source === undefined) continue;
      for await (const piece of reader.largeObjects(source)) {
        await writer.beginLargeObject(piece.oid);
        await writer.writePlain(await bytesOf(piece));
        await writer.endLargeObject();
      }
    }
    await writer.endLargeObjects();
    return;
  }
  await writer.beginTableData(entry);
  for (const source of sources) {
    if (source !== undefined) await writer.writePlain(Buffer.from(await rowsOf(reader, source)));
  }
  await writer.endTableData();
}
