// Reads tar and directory archives: the table of contents and, member by member, rows and large objects. Members are
// independent of one another, so several can be read at once, in any order; pg_restore can do that for directories only.
// Source: pg_backup_directory.c, _PrintFileData, _LoadLOs; pg_backup_tar.c, _PrintTocData, _LoadLOs.

import { assert } from "../base/assert.ts";
import { corruptData, invalidArchive } from "./archive-errors.ts";
import type { ArchiveContents, DataPiece, LargeObjectPiece } from "./contents.ts";
import { cutPieces, withEndOfInserts, withoutEndMark } from "./cut-pieces.ts";
import { decodeRuns, type DecodedChunk } from "./decode-data.ts";
import { oidsOfData } from "./large-object-entries.ts";
import { LARGE_OBJECT_COUNT_MAX, OID_MAX } from "./limits.ts";
import {
  largeObjectListName,
  largeObjectName,
  MEMBER_ENDINGS,
  readRuns,
  TOC_MEMBER_NAME,
  type ArchiveMembers,
  type MemberSource,
} from "./members.ts";
import { readToc } from "./read-toc.ts";
import type { CompressionAlgorithm, Toc, TocEntry } from "./toc.ts";

/** A line of a list of large objects: an OID, a space, a name. */
const LIST_LINE_BYTES_MAX = 256;

/** The contents of a tar or directory archive. */
export class MemberArchiveReader implements ArchiveContents {
  readonly toc: Toc;
  readonly isSeekable = true;
  readonly #members: ArchiveMembers;

  private constructor(members: ArchiveMembers, toc: Toc) {
    this.#members = members;
    this.toc = toc;
  }

  /** Reads the table of contents. Throws archive_invalid or archive_unsupported. */
  static async open(
    members: ArchiveMembers,
    format: "tar" | "directory",
    signal?: AbortSignal,
  ): Promise<MemberArchiveReader> {
    const source = await members.open(TOC_MEMBER_NAME);
    if (source === null) throw invalidArchive(0, TOC_MEMBER_NAME, "there is none");
    await using open = source;
    const { toc, dataStartOffset } = await readToc(open, { format, signal });
    if (dataStartOffset !== open.sizeBytes) {
      throw invalidArchive(dataStartOffset, TOC_MEMBER_NAME, "there are bytes after the table of contents");
    }
    checkFileNames(toc);
    return new MemberArchiveReader(members, toc);
  }

  /** The rows of an entry, in pieces of about 2 MiB. Throws "corrupt" for a member that is missing or not whole. */
  async *tableData(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<DataPiece, void, void> {
    assert(entry.hadDumper, `entry ${entry.dumpId} has no data`);
    const name = entry.layout?.fileName ?? `${entry.dumpId}.dat`;
    const field = `data of dump id ${entry.dumpId}`;
    const chunks = this.#decoded(name, field, signal);
    const isCopyText = entry.copyStatement !== "";
    const whole = isCopyText ? withoutEndMark(chunks, { isRequired: true, field }) : withEndOfInserts(chunks, field);
    yield* cutPieces(whole, isCopyText);
  }

  /**
   * The large objects of a BLOBS entry, in the order of its list. A piece may be read at any time. Throws "corrupt", at
   * its end too, for a list that does not name those of the table of contents: nothing else tells that a list is whole.
   */
  async *largeObjects(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<LargeObjectPiece, void, void> {
    const field = `list of large objects of dump id ${entry.dumpId}`;
    const missing = oidsOfData(this.toc, entry);
    let count = 0;
    for await (const { oid, name } of this.#listed(entry, signal)) {
      if (missing?.delete(oid) === false) throw corruptData(field, `it names ${oid} twice, or wrongly`);
      if (count++ >= LARGE_OBJECT_COUNT_MAX) throw invalidArchive(0, "large objects", "there are too many");
      const read = (readSignal?: AbortSignal): AsyncIterable<Buffer> => this.#readLargeObject(oid, name, readSignal);
      yield { oid, lengthBytes: null, read };
    }
    const [first] = missing ?? [];
    if (first !== undefined) throw corruptData(field, `${missing?.size} are missing, the first is ${first}`);
  }

  /** Bytes of each table's data as it lies in the archive. Missing members are passed over. */
  async dataSizes(): Promise<Map<number, number>> {
    const sizes = new Map<number, number>();
    for (const { dumpId, hadDumper, description, layout } of this.toc.entries) {
      if (!hadDumper || description === "BLOBS") continue;
      const found = await this.#find(layout?.fileName ?? `${dumpId}.dat`);
      if (found === null) continue;
      await using source = found.source;
      sizes.set(dumpId, source.sizeBytes);
    }
    return sizes;
  }

  async *#readLargeObject(oid: number, name: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
    for await (const { bytes } of this.#decoded(name, `large object ${oid}`, signal)) {
      if (bytes.length > 0) yield bytes;
    }
  }

  async *#listed(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<{ oid: number; name: string }, void, void> {
    const list = await this.#findList(entry);
    const field = `list of large objects of dump id ${entry.dumpId}`;
    let rest = "";
    for await (const { bytes } of this.#decodedSource(list, field, signal)) {
      const text = rest + bytes.toString("latin1");
      let start = 0;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
        yield parseListLine(text.slice(start, end), field);
        start = end + 1;
      }
      rest = text.slice(start);
      if (rest.length > LIST_LINE_BYTES_MAX) throw corruptData(field, "a line is too long");
    }
    if (rest !== "") throw corruptData(field, "the last line is cut off");
  }

  /** In a tar archive the table of contents names another member than the list. */
  async #findList(entry: TocEntry): Promise<OpenMember> {
    const named = entry.layout?.fileName;
    const names = [named?.endsWith(".toc") ? named : null, largeObjectListName(entry, this.toc.header)];
    for (const name of names) {
      const found = name === null ? null : await this.#find(name);
      if (found !== null) return found;
    }
    throw corruptData(`large objects of dump id ${entry.dumpId}`, "the archive holds no list of them");
  }

  async *#decoded(name: string, field: string, signal?: AbortSignal): AsyncGenerator<DecodedChunk, void, void> {
    const found = await this.#find(name);
    if (found === null) throw corruptData(field, `the archive holds no file "${name}"`);
    yield* this.#decodedSource(found, field, signal);
  }

  async *#decodedSource(
    { source, compression }: OpenMember,
    field: string,
    signal?: AbortSignal,
  ): AsyncGenerator<DecodedChunk, void, void> {
    await using open = source;
    yield* decodeRuns(readRuns(open, signal), compression === "gzip" ? "gzip-file" : compression, field);
  }

  async #find(name: string): Promise<OpenMember | null> {
    for (const [ending, compression] of MEMBER_ENDINGS) {
      const source = await this.#members.open(`${name}${ending}`);
      if (source === null) continue;
      const isNamedGzip = ending === "" && name.endsWith(".gz");
      return { source, compression: isNamedGzip ? "gzip" : compression };
    }
    return null;
  }
}

/** One member is the data of one entry: else a small archive could hold any amount of data. */
function checkFileNames(toc: Toc): void {
  const names = new Set<string>();
  for (const { hadDumper, layout } of toc.entries) {
    const name = layout?.fileName ?? null;
    if (!hadDumper || name === null) continue;
    if (names.has(name)) throw invalidArchive(0, TOC_MEMBER_NAME, "two entries have their data in one file");
    names.add(name);
  }
}

interface OpenMember {
  readonly source: MemberSource;
  readonly compression: CompressionAlgorithm;
}

function parseListLine(line: string, field: string): { oid: number; name: string } {
  const [, digits, name = ""] = /^([1-9][0-9]{0,9}) (\S+)$/.exec(line) ?? [];
  const oid = Number(digits);
  if (digits !== undefined && oid <= OID_MAX && name === largeObjectName(oid)) return { oid, name };
  throw corruptData(field, "a line is not an OID and the name of its file");
}
