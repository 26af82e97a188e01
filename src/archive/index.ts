// The archive room: pg_dump's archive formats as codecs.

export { checkWritable, oldestPgRestore } from "./archive-version.ts";
export type { ArchiveContents, DataPiece, LargeObjectPiece, StoredFrame } from "./contents.ts";
export { convertToc, type ConvertedToc } from "./convert-toc.ts";
export { CustomArchiveReader, readLargeObjectOids } from "./custom-archive-reader.ts";
export { CustomArchiveWriter, type ArchiveSink } from "./custom-archive-writer.ts";
export { END_OF_DATA_MARK } from "./cut-pieces.ts";
export { encodeHeadAndToc, type EncodedToc } from "./encode-toc.ts";
export { filterNotAllowed, parseFilterItems, type FilterItem, type FilterKind } from "./filter-file.ts";
export { formatEntry, formatTocList, isListed, type TocListOptions } from "./format-toc-list.ts";
export { oidsOfMetadata } from "./large-object-entries.ts";
export { parseListFile, type ListFile } from "./parse-list-file.ts";
export { memorySource, type RandomAccessSource } from "./random-access-source.ts";
export { readToc, type ReadTocResult } from "./read-toc.ts";
export type * from "./toc.ts";
export { compressFrame } from "./zlib-encoder.ts";
