// Lets work begin while the bytes that it holds stay within a budget; what is larger than the whole budget goes alone.

/** See the head of this file. Work begins in the order in which it came. */
export class ByteBudget {
  readonly #sizeBytes: number;
  #usedBytes = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  async use<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const cost = Math.min(bytes, this.#sizeBytes);
    while (this.#usedBytes + cost > this.#sizeBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#usedBytes += cost;
    try {
      return await work();
    } finally {
      this.#usedBytes -= cost;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }
}
