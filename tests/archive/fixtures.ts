// Archives for tests: real ones of pg_dump from fixtures/, sources that give little at a time, sinks in memory, and a
// copier that reads and writes through the public interface only.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { ArchiveWriter } from "../../src/archive/archive-writer.ts";
import type { ArchiveContents, LargeObjectPiece } from "../../src/archive/contents.ts";
import { convertToc, type ConvertedToc } from "../../src/archive/convert-toc.ts";
import { CustomArchiveReader } from "../../src/archive/custom-archive-reader.ts";
import { CustomArchiveWriter, type ArchiveSink } from "../../src/archive/custom-archive-writer.ts";
import { MemberArchiveWriter } from "../../src/archive/member-archive-writer.ts";
import type { ArchiveMembers, MemberSource } from "../../src/archive/members.ts";
import { memorySource, type RandomAccessSource } from "../../src/archive/random-access-source.ts";
import { TarSink } from "../../src/archive/tar-sink.ts";
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
export async function rowsOf(reader: ArchiveContents, entry: TocEntry): Promise<string> {
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
export async function largeObjectsOf(reader: ArchiveContents): Promise<Record<number, string>> {
  const contents: Record<number, string> = {};
  for (const entry of reader.toc.entries.filter((candidate) => candidate.description === "BLOBS")) {
    for await (const piece of reader.largeObjects(entry)) contents[piece.oid] = (await bytesOf(piece)).toString("hex");
  }
  return contents;
}

/** Reads everything there is to read. */
export async function readWhole(source: RandomAccessSource): Promise<void> {
  await readContents(await CustomArchiveReader.open(source));
}

/** Reads everything there is to read of an archive that is open. */
export async function readContents(reader: ArchiveContents): Promise<void> {
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
export async function copyArchive(reader: ArchiveContents, variant: Variant): Promise<Buffer> {
  const { toc: converted, mapping } = convertToc(reader.toc, variant.version);
  const toc: Toc = { ...converted, header: { ...converted.header, compression: variant.compression } };
  const sink = memorySink(variant.canPatch);
  await copyEntries(reader, await CustomArchiveWriter.create(sink, toc), { toc, mapping });
  return sink.bytes();
}

/** Members in memory. */
export function memoryMembers(files: ReadonlyMap<string, Uint8Array>): ArchiveMembers {
  const open = async (name: string): Promise<MemberSource | null> => {
    const bytes = files.get(name);
    return bytes === undefined ? null : { ...memorySource(bytes), [Symbol.asyncDispose]: async () => {} };
  };
  return { open };
}

/** The files of a folder, by name. */
export function filesOf(folder: string | URL): Map<string, Buffer> {
  const path = typeof folder === "string" ? folder : fileURLToPath(folder);
  return new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name))]));
}

/** Copies an archive into a directory archive in memory. */
export async function copyDirectory(
  reader: ArchiveContents,
  variant: Omit<Variant, "canPatch">,
): Promise<Map<string, Buffer>> {
  const converted = convertToc(reader.toc, variant.version);
  const header = { ...converted.toc.header, compression: variant.compression, format: "directory" as const };
  const toc = { ...converted.toc, header };
  const files = new Map<string, Buffer>();
  let open: { name: string; parts: Uint8Array[] } | null = null;
  const writer = await MemberArchiveWriter.create(
    {
      begin: async (name) => {
        open = { name, parts: [] };
      },
      write: async (bytes) => {
        open?.parts.push(Buffer.from(bytes));
      },
      end: async () => {
        if (open !== null) files.set(open.name, Buffer.concat(open.parts));
      },
    },
    toc,
  );
  await copyEntries(reader, writer, { toc, mapping: converted.mapping });
  return files;
}

/** Copies an archive into a tar archive. */
export async function copyTar(reader: ArchiveContents, version: ArchiveVersion): Promise<Buffer> {
  const converted = convertToc(reader.toc, version);
  const header = { ...converted.toc.header, compression: "none" as const, format: "tar" as const };
  const toc = { ...converted.toc, header };
  const parts: Uint8Array[] = [];
  const sink = new TarSink(async (bytes) => {
    parts.push(Buffer.from(bytes));
  }, 1_800_000_000);
  await copyEntries(reader, await MemberArchiveWriter.create(sink, toc), { toc, mapping: converted.mapping });
  await sink.finish();
  return Buffer.concat(parts);
}

async function copyEntries(reader: ArchiveContents, writer: ArchiveWriter, converted: ConvertedToc): Promise<void> {
  for (const entry of converted.toc.entries.filter(({ hadDumper }) => hadDumper)) {
    const ids = converted.mapping.get(entry.dumpId) ?? [];
    const sources = ids.map((id) => reader.toc.entries.find((candidate) => candidate.dumpId === id));
    await copyData(reader, writer, entry, sources);
  }
  await writer.finish();
}

async function copyData(
  reader: ArchiveContents,
  writer: ArchiveWriter,
  entry: TocEntry,
  sources: readonly (TocEntry | undefined)[],
): Promise<void> {
  if (entry.description === "BLOBS") {
    await writer.beginLargeObjects(entry);
    for (const source of sources) {
      if (source === undefined) continue;
      for await (const piece of reader.largeObjects(source)) {
        const bytes = await bytesOf(piece);
        await writer.beginLargeObject(piece.oid, bytes.length);
        await writer.writePlain(bytes);
        await writer.endLargeObject();
      }
    }
    await writer.endLargeObjects();
    return;
  }
  const rows: Uint8Array[] = [];
  for (const source of sources) {
    if (source !== undefined) for await (const piece of reader.tableData(source)) rows.push(await piece.load());
  }
  const text = Buffer.concat(rows);
  await writer.beginTableData(entry, text.length);
  await writer.writePlain(text);
  await writer.endTableData();
}
