// Where the members of a tar archive lie: its headers are walked once, from the first to the end mark. Whatever pg_dump
// does not write is refused: paths, links, sizes beyond the archive, two members of one name, an end that is missing.
// Memory: a name and two numbers per member.

import { OperatingError } from "../base/errors.ts";
import { invalidArchive } from "./archive-errors.ts";
import { TAR_MEMBER_COUNT_MAX } from "./limits.ts";
import type { ArchiveMembers, MemberSource } from "./members.ts";
import { readFully, type RandomAccessSource } from "./random-access-source.ts";
import { parseTarHeader, TAR_BLOCK_BYTES, tarPaddingBytes, type TarHeader } from "./tar-header.ts";

const WINDOW_BYTES = 64 * 1024;

interface Place {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The members of a tar archive. The source stays its owner's. */
export class TarMembers implements ArchiveMembers {
  readonly #source: RandomAccessSource;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(source: RandomAccessSource, places: ReadonlyMap<string, Place>) {
    this.#source = source;
    this.#places = places;
  }

  /** Reads all headers. Throws archive_invalid; archive_unsupported when there are more than `countMax`. */
  static async open(
    source: RandomAccessSource,
    signal?: AbortSignal,
    countMax: number = TAR_MEMBER_COUNT_MAX,
  ): Promise<TarMembers> {
    const places = new Map<string, Place>();
    const headers = new HeaderReader(source);
    for (let offset = 0; ;) {
      signal?.throwIfAborted();
      const header = await headers.at(offset);
      if (header === null) return new TarMembers(source, places);
      const place = { offset: offset + TAR_BLOCK_BYTES, sizeBytes: header.sizeBytes };
      const left = source.sizeBytes - place.offset;
      if (place.sizeBytes > left) {
        throw invalidArchive(offset, "size of tar member", `${place.sizeBytes} with ${left} bytes left in the archive`);
      }
      if (places.has(header.name)) throw invalidArchive(offset, "name of tar member", "it occurs twice");
      if (places.size >= countMax) throw tooManyMembers(countMax);
      places.set(header.name, place);
      offset = place.offset + place.sizeBytes + tarPaddingBytes(place.sizeBytes);
    }
  }

  get count(): number {
    return this.#places.size;
  }

  async open(name: string): Promise<MemberSource | null> {
    const place = this.#places.get(name);
    if (place === undefined) return null;
    const source = this.#source;
    const { offset: start, sizeBytes } = place;
    return {
      sizeBytes,
      read: async (offset, length) => {
        const wanted = Math.min(length, sizeBytes - offset);
        return wanted <= 0 ? new Uint8Array(0) : await source.read(start + offset, wanted);
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }
}

function tooManyMembers(countMax: number): OperatingError {
  return new OperatingError("archive_unsupported", `the tar archive has more than ${countMax} members`, {
    hint: "Each large object is one. Dump such a database with --format=custom or --format=directory.",
  });
}

/** Reads headers through a window, so that many small members cost few reads. */
class HeaderReader {
  readonly #source: RandomAccessSource;
  #window: Buffer = Buffer.alloc(0);
  #windowOffset = 0;

  constructor(source: RandomAccessSource) {
    this.#source = source;
  }

  async at(offset: number): Promise<TarHeader | null> {
    const end = offset + TAR_BLOCK_BYTES;
    if (offset < this.#windowOffset || end > this.#windowOffset + this.#window.length) {
      this.#window = await readFully(this.#source, offset, WINDOW_BYTES);
      this.#windowOffset = offset;
    }
    const start = offset - this.#windowOffset;
    const block = this.#window.subarray(start, start + TAR_BLOCK_BYTES);
    if (block.length < TAR_BLOCK_BYTES) throw invalidArchive(offset, "tar header", "the archive ends here");
    return parseTarHeader(block, offset);
  }
}
