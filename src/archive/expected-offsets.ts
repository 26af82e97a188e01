// Where the data of each entry will begin in a custom-format archive, when it is known beforehand how long data is.
// Expected only: whoever writes the data compares. A pure function; source as in custom-archive-writer.ts.

import { END_OF_DATA_MARK } from "./cut-pieces.ts";
import type { Toc, TocEntry } from "./toc.ts";
import { createDataEncoder } from "./zlib-encoder.ts";

/** The blocks of a table's data, the end-of-data mark not counted. */
export interface ExpectedData {
  readonly blockCount: number;
  /** Of all blocks together, without what stands between them. */
  readonly sizeBytes: number;
}

/**
 * Offsets by dump id, from the first entry with data to the first one whose own length is not known (it is the last
 * to have an offset). `expected` is by dump id. Only zstd and plain data come in blocks that can be counted.
 */
export async function expectDataOffsets(
  toc: Toc,
  headSizeBytes: number,
  expected: ReadonlyMap<number, ExpectedData>,
): Promise<ReadonlyMap<number, number>> {
  const offsets = new Map<number, number>();
  const { compression, intSizeBytes } = toc.header;
  if (expected.size === 0 || (compression !== "zstd" && compression !== "none")) return offsets;
  const ends = { marked: await endBlocks(toc, true), bare: await endBlocks(toc, false) };
  const intBytes = 1 + intSizeBytes;
  let offset = headSizeBytes;
  for (const entry of toc.entries) {
    if (!entry.hadDumper) continue;
    offsets.set(entry.dumpId, offset);
    const data = expected.get(entry.dumpId);
    if (data === undefined) break;
    const { blockCount, sizeBytes } = withEnd(entry, data, ends);
    // Block type and dump id, each block behind its length, a length of zero.
    offset += 1 + intBytes + sizeBytes + (blockCount + 1) * intBytes;
    if (!Number.isSafeInteger(offset)) break;
  }
  return offsets;
}

interface Ends {
  readonly marked: ExpectedData;
  readonly bare: ExpectedData;
}

function withEnd(entry: TocEntry, data: ExpectedData, { marked, bare }: Ends): ExpectedData {
  const isMarked = entry.copyStatement !== "";
  if (!isMarked && data.blockCount > 0) return data;
  const end = isMarked ? marked : bare;
  return { blockCount: data.blockCount + end.blockCount, sizeBytes: data.sizeBytes + end.sizeBytes };
}

/** What the writer adds to a table's blocks: the mark, or to no blocks at all without a mark, what stands for nothing. */
async function endBlocks(toc: Toc, isMarked: boolean): Promise<ExpectedData> {
  const encoder = createDataEncoder(toc.header.compression, toc.header.compressionLevel);
  const mark = isMarked ? await encoder.encode(END_OF_DATA_MARK) : [];
  const blocks = [...mark, ...(await encoder.end())].filter(({ byteLength }) => byteLength > 0);
  return { blockCount: blocks.length, sizeBytes: blocks.reduce((sum, { byteLength }) => sum + byteLength, 0) };
}
