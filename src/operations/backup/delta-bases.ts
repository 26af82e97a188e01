// What deltas of a backup may lean on: the full chunks of the parent's same segment. They are read back from the storage, so
// only where that costs no network; elsewhere every changed chunk is stored as a full one.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { KIB, MIB } from "../../base/units.ts";
import type { OfferedChunk } from "../../dump/index.ts";
import type { ChunkReference, Run } from "../../repository/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** Less than this is not worth reading something back for. */
const BASE_BYTES_MIN = 16 * KIB;
const BASE_BYTES_MAX = 8 * MIB;
/** Chunks of one segment; a longer one (32 GiB of text, where a table is one segment) has no deltas. */
const OFFERED_COUNT_MAX = 16 * KIB;

/** What deltas did. */
export interface DeltaCounts {
  /** Chunks that were stored as deltas, their text, and the frames. */
  chunkCount: number;
  rawBytes: number;
  storedBytes: number;
  /** Sealed bytes of bases that were read back. */
  fetchedBytes: number;
}

export class DeltaBases {
  readonly counts: DeltaCounts = { chunkCount: 0, rawBytes: 0, storedBytes: 0, fetchedBytes: 0 };
  readonly #run: Run;
  readonly #isOn: boolean;

  constructor(run: Run, encoding: "zstd" | "none") {
    this.#run = run;
    this.#isOn = encoding === "zstd" && run.parent !== null && run.takesDeltas && run.readsLocally;
  }

  /** What the parent's chunks of a segment are to deltas; null: nothing. */
  offer(chunks: readonly ChunkReference[]): readonly OfferedChunk[] | null {
    if (!this.#isOn || chunks.length > OFFERED_COUNT_MAX) return null;
    const offered = chunks.map((chunk) => this.#offered(chunk));
    return offered.some(({ base }) => base !== null) ? offered : null;
  }

  /**
   * The plaintext of a base; null when it is damaged or missing. That costs a full chunk, and not the backup unless it had
   * taken over already what needs the base: the run refers to it no more, and its mark makes the next one store it anew.
   */
  async load(base: ChunkReference, relation: string): Promise<Uint8Array | null> {
    this.counts.fetchedBytes += base.lengthBytes;
    try {
      return await this.#run.parent!.loadChunk(base);
    } catch (error) {
      if (isOperatingError(error, "corrupt") || isOperatingError(error, "not_found")) {
        this.#run.noteDamage(base, { relation, reason: messageOf(error) });
        return null;
      }
      throw error;
    }
  }

  count(rawLengthBytes: number, frameLengthBytes: number): void {
    this.counts.chunkCount += 1;
    this.counts.rawBytes += rawLengthBytes;
    this.counts.storedBytes += frameLengthBytes;
  }

  #offered(chunk: ChunkReference): OfferedChunk {
    const { rawLengthBytes } = chunk;
    const id = Uint8Array.from(chunk.id); // alone: its own buffer is a whole page of the list, which would cross threads too
    const base = baseOf(chunk);
    const isRight = base.rawLengthBytes >= BASE_BYTES_MIN && base.rawLengthBytes <= BASE_BYTES_MAX;
    const isUsable = isRight && base.encoding === "zstd" && this.#run.canReuse(base);
    const lengths = { frameLengthBytes: base.lengthBytes, rawLengthBytes: base.rawLengthBytes };
    return { id, rawLengthBytes, base: isUsable ? lengths : null };
  }
}

/** The full chunk that a delta which resembles this one leans on: the depth stays one. */
export function baseOf(chunk: ChunkReference): ChunkReference {
  return chunk.base ?? chunk;
}

/** A warning when the run could not read back what the parent has. */
export function warnOfDamage(context: OperationContext, { foundDamage, parent }: Run): readonly string[] {
  const [first] = foundDamage;
  if (first === undefined) return [];
  const ofWhich = foundDamage.length === 1 ? "a chunk" : `${foundDamage.length} chunks`;
  return [
    warn(context, {
      message: `restore point ${parent!.id} is damaged: ${ofWhich} could not be read back (${first.relation}: ${first.reason})`,
      detail: "What a backup needs of that is stored anew.",
      hint: 'Run "cairn verify" on the earlier restore points: they may need the same chunks.',
    }),
  ];
}
