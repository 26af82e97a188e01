// Reads head and table of contents of an archive, versions 1.12 to 1.16, from any source, in windows: a string that
// claims to be longer than the rest of the source is refused before anything is set aside for it.
//
//   head   "PGDMP", bytes: major, minor, revision, integer size, offset size, format; from 1.15 a byte, before an
//          integer, of compression; integers: second, minute, hour, day, month, year, isdst; strings: database,
//          server version, pg_dump version
//   toc    integer count, then the entries
//   entry  integers: dump id, had a dumper; strings: table oid, oid, tag, description; integer section; strings:
//          definition, drop, copy, namespace, tablespace; from 1.14 a string, table access method; from 1.16 an
//          integer, relkind; strings: owner, "with oids"; strings: dependencies, ended by a null; custom: offset,
//          tar and directory: string, the file of the data
//
// Source: pg_backup_archiver.c, ReadHead, ReadToc; pg_backup_{custom,tar,directory}.c, _ReadExtraToc.

import { invalidArchive, unsupportedArchive } from "./archive-errors.ts";
import { COMPRESSION_ALGORITHMS, FORMAT_CODES, SECTIONS, minorOf, versionOfMinor } from "./archive-version.ts";
import { checkEntries } from "./check-toc.ts";
import { isMemberName } from "./members.ts";
import { DEPENDENCY_COUNT_MAX, DUMP_ID_MAX, OID_MAX, TOC_ENTRY_COUNT_MAX, TOC_SIZE_BYTES_MAX } from "./limits.ts";
import { ByteReader, NotUtf8, ShortInput } from "./primitives.ts";
import { memorySource, readFully, type RandomAccessSource } from "./random-access-source.ts";
import type {
  ArchiveFormat,
  ArchiveHeader,
  ArchiveTime,
  CompressionAlgorithm,
  EntryLayout,
  OptionalText,
  TextEncoding,
  Toc,
  TocEntry,
} from "./toc.ts";

const WINDOW_SIZE_BYTES = 256 * 1024;

/** No entry is shorter, whatever the version: bounds the count of entries by the size of the source. */
const ENTRY_SIZE_BYTES_MIN = 60;

const INT_MAX = 0x7fff_ffff;

/** A table of contents as it stood in an archive. */
export interface ReadTocResult {
  readonly toc: Toc;
  /** Offset of the first byte after the table of contents: where the first data block stands. */
  readonly dataStartOffset: number;
}

/** How a table of contents is read. */
export interface ReadTocOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the source is: a custom archive (the default), or the toc.dat of a tar or directory archive. */
  readonly format?: ArchiveFormat;
}

/**
 * Reads and checks head and table of contents. Throws archive_invalid with offset and field, or archive_unsupported.
 * Each entry has its `layout`, with the data's offset or file.
 */
export async function readToc(
  input: RandomAccessSource | Uint8Array,
  options: ReadTocOptions = {},
): Promise<ReadTocResult> {
  const source = input instanceof Uint8Array ? memorySource(input) : input;
  try {
    return await readTocAs(source, "utf8", options);
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
  }
  return await readTocAs(source, "latin1", options);
}

async function readTocAs(
  source: RandomAccessSource,
  textEncoding: TextEncoding,
  { signal, format = "custom" }: ReadTocOptions,
): Promise<ReadTocResult> {
  const loader = new TocLoader(source, textEncoding, signal);
  const header = await loader.parse((reader) => parseHead(reader, format));
  loader.setSizes(header.intSizeBytes, header.offsetSizeBytes);
  const tocOffset = loader.offset;
  const remainingBytes = source.sizeBytes - tocOffset;
  const countMax = Math.min(TOC_ENTRY_COUNT_MAX, Math.floor(Math.max(remainingBytes, 0) / ENTRY_SIZE_BYTES_MIN));
  const count = await loader.parse((reader) => reader.readInt("count of entries"));
  if (count < 0 || count > countMax) {
    throw invalidArchive(tocOffset, "count of entries", `${count} is not between 0 and ${countMax}`);
  }
  const limits = { minor: minorOf(header.version), format, sourceSizeBytes: source.sizeBytes };
  const parser = new EntryParser(limits);
  const entries = await loader.parseAll(count, (reader) => parser.parse(reader));
  checkEntries(entries, tocOffset);
  return { toc: { header, textEncoding, entries }, dataStartOffset: loader.offset };
}

/** Runs parse steps over a window of the source; a step that finds too little input is run again over more. */
class TocLoader {
  readonly #source: RandomAccessSource;
  readonly #encoding: TextEncoding;
  readonly #signal: AbortSignal | undefined;
  #reader: ByteReader;
  #window: Buffer = Buffer.alloc(0);
  #windowOffset = 0;
  #intSizeBytes = 4;
  #offsetSizeBytes = 8;

  constructor(source: RandomAccessSource, encoding: TextEncoding, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#encoding = encoding;
    this.#signal = signal;
    this.#reader = new ByteReader(this.#window, 0, encoding);
  }

  get offset(): number {
    return this.#reader.offset;
  }

  setSizes(intSizeBytes: number, offsetSizeBytes: number): void {
    this.#intSizeBytes = intSizeBytes;
    this.#offsetSizeBytes = offsetSizeBytes;
    this.#reader.intSizeBytes = intSizeBytes;
    this.#reader.offsetSizeBytes = offsetSizeBytes;
  }

  async parse<T>(step: (reader: ByteReader) => T): Promise<T> {
    const [result] = await this.parseAll(1, step);
    return result!;
  }

  /** Runs a step so many times; waits only where more input is needed. */
  async parseAll<T>(count: number, step: (reader: ByteReader) => T): Promise<T[]> {
    const results: T[] = [];
    while (results.length < count) {
      const start = this.#reader.position;
      try {
        results.push(step(this.#reader));
      } catch (error) {
        if (!(error instanceof ShortInput)) throw error;
        const failedAt = this.#reader.position;
        this.#reader.position = start;
        await this.#grow(start, failedAt - start + error.neededBytes, error.field);
      }
    }
    return results;
  }

  /** Makes the window begin at `start` (an index into the present one) and hold at least `neededBytes`. */
  async #grow(start: number, neededBytes: number, field: string): Promise<void> {
    this.#signal?.throwIfAborted();
    const kept = this.#window.subarray(start);
    const windowOffset = this.#windowOffset + start;
    const sizeBytes = Math.max(neededBytes, kept.length * 2, WINDOW_SIZE_BYTES);
    if (windowOffset + neededBytes > TOC_SIZE_BYTES_MAX) {
      throw invalidArchive(windowOffset, field, `the table of contents is larger than ${TOC_SIZE_BYTES_MAX} bytes`);
    }
    const more = await readFully(this.#source, windowOffset + kept.length, sizeBytes - kept.length);
    if (kept.length + more.length < neededBytes) {
      throw invalidArchive(windowOffset + kept.length + more.length, field, "the archive ends here");
    }
    this.#window = kept.length === 0 ? more : Buffer.concat([kept, more]);
    this.#windowOffset = windowOffset;
    this.#reader = new ByteReader(this.#window, windowOffset, this.#encoding);
    this.setSizes(this.#intSizeBytes, this.#offsetSizeBytes);
  }
}

function parseHead(reader: ByteReader, expected: ArchiveFormat): ArchiveHeader {
  const magic = reader.readBytes(5, "magic string");
  if (magic.toString("latin1") !== "PGDMP") {
    throw unsupportedArchive(
      "this is not a table of contents of pg_dump: it does not begin with PGDMP",
      "The file may be plain SQL, or no archive of pg_dump at all.",
    );
  }
  const [major, minor, revision] = [readByte("major version"), readByte("minor version"), readByte("revision")];
  const version = major === 1 && revision === 0 ? versionOfMinor(minor) : null;
  if (version === null) {
    throw unsupportedArchive(`archive version ${major}.${minor}-${revision} is not supported; 1.12 to 1.16 are`);
  }
  const intSizeBytes = readByte("size of integers");
  if (intSizeBytes !== 4 && intSizeBytes !== 8) {
    throw unsupportedArchive(`archives with integers of ${intSizeBytes} bytes are not supported`);
  }
  const offsetSizeBytes = readByte("size of offsets");
  if (offsetSizeBytes !== 4 && offsetSizeBytes !== 8) {
    throw unsupportedArchive(`archives with offsets of ${offsetSizeBytes} bytes are not supported`);
  }
  reader.intSizeBytes = intSizeBytes;
  const format = readByte("format");
  // The table of contents of a directory says that it is of a tar archive.
  const isExpected = format === (expected === "custom" ? FORMAT_CODES.custom : FORMAT_CODES.tar);
  if (!isExpected) throw unsupportedFormat(format, expected);
  const { compression, compressionLevel } = parseCompression(reader, minor);
  const createdAt = parseTime(reader);
  const databaseName = requiredString(reader, "database name");
  const serverVersion = requiredString(reader, "server version");
  const pgDumpVersion = requiredString(reader, "pg_dump version");
  return {
    version,
    format: expected,
    intSizeBytes,
    offsetSizeBytes,
    compression,
    compressionLevel,
    createdAt,
    databaseName,
    serverVersion,
    pgDumpVersion,
  };

  function readByte(field: string): number {
    return reader.readByte(field);
  }
}

function unsupportedFormat(format: number, expected: ArchiveFormat): Error {
  const known = Object.entries(FORMAT_CODES).find(([, code]) => code === format)?.[0];
  return unsupportedArchive(`the table of contents is of a ${known ?? format} archive, not of a ${expected} one`);
}

interface Compression {
  readonly compression: CompressionAlgorithm;
  readonly compressionLevel: number;
}

function parseCompression(reader: ByteReader, minor: number): Compression {
  if (minor < 15) {
    const compressionLevel = reader.readIntBetween(-INT_MAX, INT_MAX, "compression level");
    return { compression: compressionLevel === 0 ? "none" : "gzip", compressionLevel };
  }
  const offset = reader.offset;
  const code = reader.readByte("compression algorithm");
  const compression = COMPRESSION_ALGORITHMS[code];
  if (compression === undefined)
    throw unsupportedArchive(`compression algorithm ${code} at offset ${offset} is not known`);
  return { compression, compressionLevel: -1 };
}

function parseTime(reader: ByteReader): ArchiveTime {
  const read = (field: string): number => reader.readIntBetween(-INT_MAX, INT_MAX, field);
  return {
    second: read("second of creation"),
    minute: read("minute of creation"),
    hour: read("hour of creation"),
    monthDay: read("day of creation"),
    month: read("month of creation"),
    yearsSince1900: read("year of creation"),
    isDst: read("daylight saving flag of creation"),
  };
}

function requiredString(reader: ByteReader, field: string, lengthBytesMax = TOC_SIZE_BYTES_MAX): string {
  const offset = reader.offset;
  const text = reader.readString(field, lengthBytesMax);
  if (text === null) throw invalidArchive(offset, field, "the string is null");
  return text;
}

interface EntryLimits {
  readonly minor: number;
  readonly format: ArchiveFormat;
  readonly sourceSizeBytes: number;
}

/** Reads entries one by one. Layouts that are equal one after another are one object, as most are. */
class EntryParser {
  readonly #limits: EntryLimits;
  #reader: ByteReader = new ByteReader(Buffer.alloc(0), 0, "utf8");
  #emptyFields: OptionalText[] = [];
  #layout: EntryLayout | null = null;

  constructor(limits: EntryLimits) {
    this.#limits = limits;
  }

  /** The entry at the reader's position. */
  parse(reader: ByteReader): TocEntry {
    this.#reader = reader;
    this.#emptyFields = [];
    const { minor } = this.#limits;
    const dumpId = reader.readIntBetween(1, DUMP_ID_MAX, "dump id");
    const hadDumper = reader.readIntBetween(0, 1, "data flag") === 1;
    const catalogId = { tableOid: this.#number("table oid", OID_MAX), oid: this.#number("oid", OID_MAX) };
    const tag = this.#required("tag");
    const description = this.#required("description");
    const section = SECTIONS[reader.readIntBetween(1, SECTIONS.length, "section") - 1] ?? "none";
    const definition = this.#optional("definition");
    const dropStatement = this.#optional("dropStatement");
    const copyStatement = this.#optional("copyStatement");
    const namespace = this.#nullable("namespace");
    const tablespace = this.#nullable("tablespace");
    const tableAccessMethod = minor >= 14 ? this.#nullable("table access method") : null;
    const relationKindCode = minor >= 16 ? reader.readIntBetween(0, 127, "relation kind") : 0;
    const owner = this.#optional("owner");
    const withOids = this.#flag("with oids");
    const dependencies = this.#dependencies();
    const layout = this.#layoutOf(hadDumper, withOids);
    const relationKind = relationKindCode === 0 ? "" : String.fromCharCode(relationKindCode);
    return {
      dumpId,
      hadDumper,
      catalogId,
      tag,
      description,
      definition,
      dropStatement,
      copyStatement,
      owner,
      section,
      namespace,
      tablespace,
      tableAccessMethod,
      relationKind,
      dependencies,
      layout,
    };
  }

  #layoutOf(hadDumper: boolean, withOids: boolean): EntryLayout {
    const place = this.#limits.format === "custom" ? this.#dataOffset(hadDumper) : this.#dataFile(hadDumper);
    const layout: EntryLayout = { emptyFields: this.#emptyFields, withOids, ...place };
    if (this.#layout === null || !isSameLayout(this.#layout, layout)) this.#layout = layout;
    return this.#layout;
  }

  #dataOffset(hadDumper: boolean): Pick<EntryLayout, "dataState" | "dataOffset"> {
    const { state, offset } = this.#reader.readOffset("data offset");
    if (hadDumper !== (state === "no-data")) return { dataState: state, dataOffset: offset };
    throw invalidArchive(this.#reader.offset, "data offset", `data flag is ${hadDumper} but state is ${state}`);
  }

  #dataFile(hadDumper: boolean): Omit<EntryLayout, "emptyFields" | "withOids"> {
    const { offset } = this.#reader;
    const fileName = this.#required("file of data") || null;
    if (fileName !== null && !isMemberName(fileName)) {
      throw invalidArchive(offset, "file of data", "the name is not one that pg_dump gives");
    }
    if (hadDumper && fileName === null) throw invalidArchive(offset, "file of data", "the entry with data has none");
    return { dataState: hadDumper ? "set" : "no-data", dataOffset: 0, fileName };
  }

  #dependencies(): number[] {
    const dependencies: number[] = [];
    for (;;) {
      const { offset } = this.#reader;
      const known = this.#reader.takeDecimal(DUMP_ID_MAX);
      const text = known === null ? this.#nullable("dependency") : null;
      if (known === null && text === null) return dependencies;
      if (dependencies.length >= DEPENDENCY_COUNT_MAX) {
        throw invalidArchive(offset, "dependencies", `more than ${DEPENDENCY_COUNT_MAX}`);
      }
      dependencies.push(known ?? parseDecimal(text ?? "", DUMP_ID_MAX, offset, "dependency"));
    }
  }

  #number(field: string, maximum: number): number {
    const { offset } = this.#reader;
    return this.#reader.takeDecimal(maximum) ?? parseDecimal(this.#required(field), maximum, offset, field);
  }

  #required(field: string): string {
    return requiredString(this.#reader, field, this.#remaining());
  }

  #nullable(field: string): string | null {
    return this.#reader.readString(field, this.#remaining());
  }

  #optional(field: OptionalText): string {
    const text = this.#nullable(field);
    if (text === "") this.#emptyFields.push(field);
    return text ?? "";
  }

  #flag(field: string): boolean {
    const { offset } = this.#reader;
    const text = this.#required(field);
    if (text !== "true" && text !== "false") throw invalidArchive(offset, field, "neither true nor false");
    return text === "true";
  }

  #remaining(): number {
    return Math.max(this.#limits.sourceSizeBytes - this.#reader.offset, 0);
  }
}

function isSameLayout(one: EntryLayout, other: EntryLayout): boolean {
  return (
    one.withOids === other.withOids &&
    one.dataState === other.dataState &&
    one.dataOffset === other.dataOffset &&
    one.fileName === other.fileName &&
    one.emptyFields.length === other.emptyFields.length &&
    one.emptyFields.every((field, index) => field === other.emptyFields[index])
  );
}

function parseDecimal(text: string, maximum: number, offset: number, field: string): number {
  const value = /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= maximum)) throw invalidArchive(offset, field, `not a number between 0 and ${maximum}`);
  return value;
}
