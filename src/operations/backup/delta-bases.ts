// What deltas of a backup may lean on: the full chunks of the parent's same segment, read back from the storage. Where they
// cannot be had, and where reading is charged for, changed chunks are stored whole: docs/decisions/0009 has the rule.

import { KIB, MIB } from "../../base/units.ts";
import type { OfferedChunk } from "../../dump/index.ts";
import type { ChunkReference, Run } from "../../repository/index.ts";
import { BaseFetching, type FetchLimits } from "./base-fetching.ts";

/** Less than this is not worth reading something back for. */
const BASE_BYTES_MIN = 16 * KIB;
const BASE_BYTES_MAX = 8 * MIB;
/** Chunks of one segment; a longer one (32 GiB of text, where a table is one segment) has no deltas. */
const OFFERED_COUNT_MAX = 16 * KIB;

/** How long a base is waited for. */
const BASE_WAIT_MS_MAX = 30_000;
/** What "auto" lets all waiting for bases take. */
const SLOW_MS_MAX = 10 * 60_000;

/** Where deltas are made; "auto": where reading back is not charged for, as long as it is not slow. */
export type DeltaChoice = "auto" | "always" | "never";

/** What deltas did. */
export interface DeltaCounts {
  /** Chunks that were stored as deltas, their text, and the frames. */
  chunkCount: number;
  rawBytes: number;
  storedBytes: number;
  /** What was read back for them, and in how many requests. */
  fetchedBytes: number;
  requestCount: number;
  /** Why none or no more were made, though the parent has chunks to lean on; null: they were. */
  withoutBecause: string | null;
  /** Changed chunks that were stored whole for that reason, and their frames. */
  wholeChunkCount: number;
  wholeBytes: number;
}

/** What deltas are made for and by which choice. */
export interface DeltaSettings {
  readonly encoding: "zstd" | "none";
  readonly choice: DeltaChoice;
  readonly signal: AbortSignal;
}

export class DeltaBases {
  readonly #run: Run;
  readonly #fetching: BaseFetching | null;
  readonly #isChargedFor: boolean;
  readonly #own = { chunkCount: 0, rawBytes: 0, storedBytes: 0, wholeChunkCount: 0, wholeBytes: 0 };

  constructor(run: Run, { choice, encoding, signal }: DeltaSettings) {
    this.#run = run;
    const isPossible = encoding === "zstd" && run.parent !== null && run.takesDeltas && choice !== "never";
    this.#isChargedFor = isPossible && choice === "auto" && run.readsBackOver === "charged network";
    const isOn = isPossible && !this.#isChargedFor;
    this.#fetching = isOn ? new BaseFetching(run.openReadBack(), limitsOf(run, choice), signal) : null;
  }

  get counts(): DeltaCounts {
    const { fetchedBytes = 0, requestCount = 0 } = this.#fetching ?? {};
    return { ...this.#own, fetchedBytes, requestCount, withoutBecause: this.#withoutBecause };
  }

  /** What the storage said of a base that did not come; null: all came. */
  get failure(): string | null {
    return this.#fetching?.failure ?? null;
  }

  /** What the parent's chunks of a segment are to deltas; null: nothing. They may be wanted until forget(). */
  offer(chunks: readonly ChunkReference[]): readonly OfferedChunk[] | null {
    if (this.#fetching === null || this.#withoutBecause !== null || chunks.length > OFFERED_COUNT_MAX) return null;
    const offered = chunks.map((chunk) => this.#offered(chunk));
    if (offered.every(({ base }) => base === null)) return null;
    this.#fetching.expect(chunks.filter((_, index) => offered[index]!.base !== null).map(baseOf));
    return offered;
  }

  /** The segment has ended. */
  forget(chunks: readonly ChunkReference[]): void {
    this.#fetching?.forget(chunks.map(baseOf));
  }

  /**
   * The plaintext of a base; null when it is damaged, missing or does not come. That costs a full chunk, and not the backup
   * unless it had taken over already what needs a damaged base: the run refers to it no more, and its mark makes the next
   * one store it anew.
   */
  async load(base: ChunkReference, relation: string): Promise<Uint8Array | null> {
    const fetched = await this.#fetching!.fetch(base);
    if (fetched.kind === "damaged") this.#run.noteDamage(base, { relation, reason: fetched.reason });
    return fetched.kind === "loaded" ? fetched.plaintext : null;
  }

  /** A delta was stored. */
  count(rawLengthBytes: number, frameLengthBytes: number): void {
    this.#own.chunkCount += 1;
    this.#own.rawBytes += rawLengthBytes;
    this.#own.storedBytes += frameLengthBytes;
  }

  /** A changed chunk of a segment that the parent has was stored whole. */
  countWhole(frameLengthBytes: number): void {
    if (this.#withoutBecause === null) return;
    this.#own.wholeChunkCount += 1;
    this.#own.wholeBytes += frameLengthBytes;
  }

  get #withoutBecause(): string | null {
    if (this.#isChargedFor) return "reading back may be charged for there (--deltas always does it all the same)";
    return this.#fetching?.endedBecause ?? null;
  }

  #offered(chunk: ChunkReference): OfferedChunk {
    const { rawLengthBytes } = chunk;
    const id = Uint8Array.from(chunk.id); // alone: its own buffer is a whole page of the list, which would cross threads too
    const base = baseOf(chunk);
    const isRight = base.rawLengthBytes >= BASE_BYTES_MIN && base.rawLengthBytes <= BASE_BYTES_MAX;
    const isUsable = isRight && base.encoding === "zstd" && this.#run.canReuse(base);
    const lengths = { frameLengthBytes: base.lengthBytes, rawLengthBytes: base.rawLengthBytes };
    return { id, rawLengthBytes, base: isUsable && this.#fetching!.isWorthAsking(base) ? lengths : null };
  }
}

function limitsOf(run: Run, choice: DeltaChoice): FetchLimits {
  const isNear = run.readsBackOver === "disk";
  return {
    readsAhead: !isNear,
    waitMsMax: BASE_WAIT_MS_MAX,
    slowMsMax: isNear || choice === "always" ? null : SLOW_MS_MAX,
  };
}

/** The full chunk that a delta which resembles this one leans on: the depth stays one. */
export function baseOf(chunk: ChunkReference): ChunkReference {
  return chunk.base ?? chunk;
}
