// What a reader sends, in the order in which it came up: a chunk whose delta waits for its base holds back what is behind
// it. Nothing waits while nothing is pending.

/** See the head of this file. */
export class Outbox {
  readonly #onFailure: (error: unknown) => void;
  #tail: Promise<void> = Promise.resolve();
  #pendingCount = 0;

  /** `onFailure`: told of what an item threw. */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Does it when all before it is done; at once, if that is now. */
  add(send: () => void): void {
    if (this.#pendingCount === 0) send();
    else this.addLater(async () => send());
  }

  /** Starts it when all before it is done, and holds back what comes after until it is done. */
  addLater(work: () => Promise<void>): void {
    this.#pendingCount += 1;
    this.#tail = this.#tail
      .then(work)
      .catch((error: unknown) => this.#onFailure(error))
      .finally(() => {
        this.#pendingCount -= 1;
      });
  }
}
