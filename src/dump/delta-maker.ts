// A reader's deltas: asks the main thread for the plaintext of a base when a chunk turned out to differ, and makes the
// delta when it comes. Memory: a base for each delta under way.

import { freeBuffer } from "../base/free-buffer.ts";
import { DeltaTrials } from "./base-choice.ts";
import type { BaseLengths } from "./data-sink.ts";
import { deltaLengthMax, makeDelta } from "./delta-frame.ts";
import type { FromReader } from "./reader-messages.ts";

/** Deltas under way at once: one being made, the next one's base being fetched. */
export const DELTAS_UNDER_WAY_MAX = 2;

const NEWLINE = 0x0a;

/** Shorter rows stand in more than one place; of longer ones so much is looked for. */
const FOUND_ROW_BYTES_MIN = 16;
const FOUND_ROW_BYTES_MAX = 256;

/** What became of a text. */
export interface MadeDelta {
  /** Null: it does not pay. */
  readonly frame: Uint8Array | null;
  /** Where the text begins in its base, by its first row; null: that is not there. */
  readonly foundAt: number | null;
}

/** A chunk of the parent to lean on. */
export interface WantedBase {
  readonly taskId: number;
  readonly offeredIndex: number;
  readonly lengths: BaseLengths;
  /** Whose trials count together. */
  readonly table: string | null;
}

export class DeltaMaker {
  readonly #ask: (message: FromReader & { readonly type: "base-wanted" }) => void;
  readonly #asked = new Map<number, (plaintext: Uint8Array | null) => void>();
  readonly #trials = new DeltaTrials();
  #requestCount = 0;
  #underWayCount = 0;

  constructor(ask: (message: FromReader & { readonly type: "base-wanted" }) => void) {
    this.#ask = ask;
  }

  get isBusy(): boolean {
    return this.#underWayCount >= DELTAS_UNDER_WAY_MAX;
  }

  /** The answer of the main thread. */
  answer(requestId: number, plaintext: Uint8Array | null): void {
    this.#asked.get(requestId)?.(plaintext);
    this.#asked.delete(requestId);
  }

  /** Fetches the base; what is returned makes the delta of a text, and must be called once. Null: it is not worth trying. */
  begin({ taskId, offeredIndex, lengths, table }: WantedBase): ((text: Uint8Array) => Promise<MadeDelta>) | null {
    if (!this.#trials.isWanted(table)) return null;
    const requestId = this.#requestCount++;
    const answered = new Promise<Uint8Array | null>((resolve) => this.#asked.set(requestId, resolve));
    this.#underWayCount += 1;
    this.#ask({ type: "base-wanted", requestId, taskId, offeredIndex });
    return async (text) => {
      const base = await answered;
      const frame = base === null ? null : makeDelta(text, base, deltaLengthMax(text.length, lengths));
      const foundAt = base === null ? null : findFirstRow(text, base);
      if (base !== null) freeBuffer(base);
      this.#trials.tried(frame !== null);
      this.#underWayCount -= 1;
      return { frame, foundAt };
    };
  }
}

/** Where the first row of a text, or its beginning, stands in a base; null: nowhere, or it is too short to tell. */
function findFirstRow(text: Uint8Array, base: Uint8Array): number | null {
  const head = text.subarray(0, FOUND_ROW_BYTES_MAX);
  const row = head.subarray(0, head.indexOf(NEWLINE) + 1 || head.length);
  if (row.length < FOUND_ROW_BYTES_MIN) return null;
  const at = Buffer.from(base.buffer, base.byteOffset, base.length).indexOf(row);
  return at < 0 ? null : at;
}
