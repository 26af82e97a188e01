// Limits on what is read from an archive. Each is checked before memory is set aside for the thing it limits.

import { GIB, MIB } from "../base/units.ts";

/** Head and table of contents together. */
export const TOC_SIZE_BYTES_MAX = GIB;

/** One string of the table of contents: a definition, a COPY statement. */
export const TOC_STRING_BYTES_MAX = 256 * MIB;

/** Entries of one table of contents. */
export const TOC_ENTRY_COUNT_MAX = 20_000_000;

/** Dependencies of one entry. */
export const DEPENDENCY_COUNT_MAX = 5_000_000;

/** Large objects of one archive. */
export const LARGE_OBJECT_COUNT_MAX = 50_000_000;

/** Members of a tar archive: their names and places are held in memory, about 200 bytes each. */
export const TAR_MEMBER_COUNT_MAX = 1_000_000;

/** Dump ids are C ints above zero. */
export const DUMP_ID_MAX = 0x7fff_ffff;

export const OID_MAX = 0xffff_ffff;

/** One data block: its length is a C int. */
export const BLOCK_SIZE_BYTES_MAX = 0x7fff_ffff;

/** How much text is gathered before a piece is cut at a row end. */
export const PIECE_TARGET_BYTES = 2 * MIB;

/** A zstd frame that says it holds at most this much is decoded at once and kept as one piece. */
export const WHOLE_FRAME_BYTES_MAX = 8 * MIB;

/** Characters of a list file for --use-list. */
export const LIST_FILE_LENGTH_MAX = 256 * MIB;
