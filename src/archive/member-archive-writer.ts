// Writes tar and directory archives, member by member: the table of contents first in a tar archive, last in a directory,
// as pg_dump does; then rows, large objects, and after each group of these its list. zstd frames go out as they are.
// Memory: the table of contents, and the list of one group. Source: pg_backup_directory.c, pg_backup_tar.c, _CloseArchive.

import { assert } from "../base/assert.ts";
import { corruptData } from "./archive-errors.ts";
import { checkWritable } from "./archive-version.ts";
import type { ArchiveWriter } from "./archive-writer.ts";
import { END_OF_DATA_MARK } from "./cut-pieces.ts";
import { encodeHeadAndToc } from "./encode-toc.ts";
import { OID_MAX } from "./limits.ts";
import { largeObjectListName, largeObjectName, MEMBER_ENDINGS, TOC_MEMBER_NAME } from "./members.ts";
import type { Toc, TocEntry } from "./toc.ts";
import { createDataEncoder, type DataEncoder } from "./zlib-encoder.ts";

/** Where members go, one after another. Buffers may be read until a promise resolves, and not be changed. */
export interface MemberSink {
  /** Begins a member; null where its size is not known beforehand, which a tar archive cannot do. */
  begin(name: string, sizeBytes: number | null): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

/** A tar or directory archive being written; which of them, its header says. */
export class MemberArchiveWriter implements ArchiveWriter {
  readonly #sink: MemberSink;
  readonly #toc: Toc;
  readonly #ending: string;
  readonly #waiting: TocEntry[];
  #entry: TocEntry | null = null;
  #list: string[] = [];
  /** The member that is being written: its encoder, and how many plain bytes are still to come. */
  #open: { readonly encoder: DataEncoder; hasFrames: boolean; leftBytes: number | null } | null = null;

  private constructor(sink: MemberSink, toc: Toc) {
    this.#sink = sink;
    this.#toc = toc;
    this.#ending = MEMBER_ENDINGS.find(([, algorithm]) => algorithm === toc.header.compression)?.[0] ?? "";
    this.#waiting = toc.entries.filter((entry) => entry.hadDumper);
  }

  /** Throws archive_unsupported for a combination that cannot be written: see checkWritable(). */
  static async create(sink: MemberSink, toc: Toc): Promise<MemberArchiveWriter> {
    checkWritable(toc);
    const writer = new MemberArchiveWriter(sink, toc);
    if (toc.header.format === "tar") await writer.#writeToc();
    return writer;
  }

  async beginTableData(entry: TocEntry, lengthBytes?: number): Promise<void> {
    assert(entry.description !== "BLOBS", `entry ${entry.dumpId} holds large objects`);
    this.#beginEntry(entry);
    const markBytes = entry.copyStatement === "" ? 0 : END_OF_DATA_MARK.length;
    await this.#begin(`${entry.dumpId}.dat`, lengthBytes === undefined ? null : lengthBytes + markBytes);
  }

  async writeFrame(bytes: Uint8Array): Promise<void> {
    const { compression } = this.#toc.header;
    if (compression === "none") return await this.writePlain(bytes);
    assert(this.#open !== null && compression === "zstd", "frames are written to zstd data");
    this.#open.hasFrames = true;
    await this.#sink.write(bytes);
  }

  async writePlain(bytes: Uint8Array): Promise<void> {
    const open = this.#open;
    assert(open !== null, "no data was begun");
    if (open.leftBytes !== null) open.leftBytes -= bytes.byteLength;
    if (open.leftBytes !== null && open.leftBytes < 0) throw wrongLength();
    for (const encoded of await open.encoder.encode(bytes)) await this.#sink.write(encoded);
  }

  async endTableData(): Promise<void> {
    assert(this.#entry !== null && this.#entry.description !== "BLOBS", "no table data was begun");
    if (this.#entry.copyStatement !== "") await this.writePlain(END_OF_DATA_MARK);
    await this.#end();
    this.#entry = null;
  }

  async beginLargeObjects(entry: TocEntry): Promise<void> {
    assert(entry.description === "BLOBS", `entry ${entry.dumpId} holds no large objects`);
    this.#beginEntry(entry);
    this.#list = [];
  }

  async beginLargeObject(oid: number, lengthBytes?: number): Promise<void> {
    assert(this.#entry?.description === "BLOBS", "no large objects were begun");
    assert(Number.isInteger(oid) && oid > 0 && oid <= OID_MAX, `${oid} is no OID`);
    this.#list.push(`${oid} ${largeObjectName(oid)}\n`);
    await this.#begin(largeObjectName(oid), lengthBytes ?? null);
  }

  async endLargeObject(): Promise<void> {
    await this.#end();
  }

  async endLargeObjects(): Promise<void> {
    assert(this.#entry !== null && this.#open === null, "a large object was begun and not ended");
    const name = largeObjectListName(this.#entry, this.#toc.header);
    await this.writeMember(name, Buffer.from(this.#list.join(""), "latin1"));
    this.#entry = null;
  }

  /** Writes a whole member that is not compressed, between the data of two entries. */
  async writeMember(name: string, bytes: Uint8Array): Promise<void> {
    assert(this.#open === null, "another member is being written");
    await this.#sink.begin(name, bytes.byteLength);
    await this.#sink.write(bytes);
    await this.#sink.end();
  }

  async finish(): Promise<void> {
    assert(this.#entry === null, "data was begun and not ended");
    assert(this.#waiting.length === 0, `the data of ${this.#waiting.length} entries is missing`);
    if (this.#toc.header.format === "directory") await this.#writeToc();
  }

  async #writeToc(): Promise<void> {
    await this.writeMember(TOC_MEMBER_NAME, encodeHeadAndToc(this.#toc, { offsets: "not-set" }).bytes);
  }

  #beginEntry(entry: TocEntry): void {
    assert(this.#entry === null, "the data of another entry is not ended");
    const next = this.#waiting.shift();
    assert(next?.dumpId === entry.dumpId, `the data of entry ${next?.dumpId} comes next, not of ${entry.dumpId}`);
    this.#entry = entry;
  }

  async #begin(name: string, lengthBytes: number | null): Promise<void> {
    const { compression, compressionLevel, format } = this.#toc.header;
    assert(this.#open === null, "another member is being written");
    assert(format !== "tar" || lengthBytes !== null, "the length of a tar member is known beforehand");
    await this.#sink.begin(`${name}${this.#ending}`, compression === "none" ? lengthBytes : null);
    const kind = compression === "gzip" ? "gzip-file" : compression;
    const leftBytes = compression === "none" ? lengthBytes : null;
    this.#open = { encoder: createDataEncoder(kind, compressionLevel), hasFrames: false, leftBytes };
  }

  async #end(): Promise<void> {
    const open = this.#open;
    assert(open !== null, "no data was begun");
    if (open.leftBytes !== null && open.leftBytes !== 0) throw wrongLength();
    if (!open.hasFrames) for (const encoded of await open.encoder.end()) await this.#sink.write(encoded);
    await this.#sink.end();
    this.#open = null;
  }
}

function wrongLength(): Error {
  return corruptData("data", "it is not as long as the restore point says");
}
