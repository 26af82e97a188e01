// Asks the holder at intervals whether it lives: its loss must end a run at once, even when readers are busy for long.
// A holder that is slow to answer is not lost yet; one that says nothing for HOLDER_ANSWER_TIMEOUT_MS is.

import { OperatingError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";

export const HOLDER_PING_INTERVAL_MS = 30_000;
export const HOLDER_ANSWER_TIMEOUT_MS = 10 * 60_000;

export class HolderWatch {
  readonly #ask: () => Promise<unknown>;
  readonly #onLost: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #askedAtMs: number | null = null;
  #asking: Promise<void> = Promise.resolve();
  #isPaused = false;

  constructor(ask: () => Promise<unknown>, onLost: (error: unknown) => void) {
    this.#ask = ask;
    this.#onLost = onLost;
    this.#timer = setInterval(() => this.#tick(), HOLDER_PING_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Stops asking, since the holder is at work; resolves when it has answered what was asked. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#asking;
  }

  resume(): void {
    this.#isPaused = false;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.#askedAtMs !== null) {
      if (performance.now() - this.#askedAtMs >= HOLDER_ANSWER_TIMEOUT_MS)
        this.#onLost(holderStalled(HOLDER_ANSWER_TIMEOUT_MS));
      return;
    }
    if (this.#isPaused) return;
    this.#askedAtMs = performance.now();
    this.#asking = this.#ask().then(
      () => {
        this.#askedAtMs = null;
      },
      (error: unknown) => this.#onLost(error),
    );
  }
}

/** The error of a holder that was silent for so long. */
export function holderStalled(silenceMs: number): OperatingError {
  return new OperatingError("stalled", `it gave no answer for ${formatDuration(silenceMs)}`);
}
