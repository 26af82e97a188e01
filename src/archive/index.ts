// The archive room: pg_dump's archive formats as codecs.

export { oldestPgRestore } from "./archive-version.ts";
export type { ArchiveWriter } from "./archive-writer.ts";
export type { ArchiveContents, DataPiece, LargeObjectPiece, StoredFrame } from "./contents.ts";
export { convertToc, type ConvertedToc } from "./convert-toc.ts";
export { CustomArchiveReader, readLargeObjectOids } from "./custom-archive-reader.ts";
export { CustomArchiveWriter, type ArchiveSink } from "./custom-archive-writer.ts";
export { encodeHeadAndToc, type EncodedToc } from "./encode-toc.ts";
export type { ExpectedData } from "./expected-offsets.ts";
export { filterNotAllowed, parseFilterItems, type FilterItem, type FilterKind } from "./filter-file.ts";
export { formatTocList, type TocListOptions } from "./format-toc-list.ts";
export { MemberArchiveReader } from "./member-archive-reader.ts";
export { MemberArchiveWriter, type MemberSink } from "./member-archive-writer.ts";
export { isMemberName, TOC_MEMBER_NAME, type ArchiveMembers, type MemberSource } from "./members.ts";
export { parseListFile, type ListFile } from "./parse-list-file.ts";
export { memorySource, type RandomAccessSource } from "./random-access-source.ts";
export { readToc, type ReadTocResult } from "./read-toc.ts";
export { isTarHeader, TAR_BLOCK_BYTES } from "./tar-header.ts";
export { TarMembers } from "./tar-members.ts";
export { TarSink } from "./tar-sink.ts";
export type * from "./toc.ts";
export { compressFrame } from "./zlib-encoder.ts";
