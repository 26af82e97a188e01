// What the writers of all drivers do alike while an object is being sent: calls take turns, the first failure is kept and
// ends what is on its way, and a finish() that fails gives the write up.

import { OperatingError } from "../base/errors.ts";

/** See the head of this file. */
export class OngoingWrite {
  /** For messages. */
  readonly action: string;
  /** Ends what is on its way when the caller's signal says so, something of the write failed, or it is given up. */
  readonly signal: AbortSignal;
  readonly #name: string;
  readonly #callersSignal: AbortSignal | undefined;
  readonly #cancel = new AbortController();
  #turn: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;
  #isOpen = true;

  constructor({ name, signal }: { readonly name: string; readonly signal?: AbortSignal | undefined }) {
    this.#name = name;
    this.#callersSignal = signal;
    this.signal = AbortSignal.any([...(signal === undefined ? [] : [signal]), this.#cancel.signal]);
    this.action = `could not write "${name}"`;
  }

  /** False from its end on, however it ended. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Throws the caller's reason, the first failure, or "storage_failed" after the end. */
  check(): void {
    this.#callersSignal?.throwIfAborted();
    if (this.#failure !== null) throw this.#failure.error;
    if (!this.#isOpen) throw new OperatingError("storage_failed", `"${this.#name}" is not being written`);
  }

  /** Keeps the first failure, and ends what is on its way. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#cancel.abort(error);
  }

  /** Takes bytes, when those before are taken. */
  async takeTurn(append: () => Promise<void>): Promise<void> {
    this.check();
    const before = this.#turn;
    const mine = (async (): Promise<void> => {
      await before;
      this.check();
      await append();
    })();
    this.#turn = mine.catch((error: unknown) => this.fail(error));
    await mine;
  }

  /** Does the last of the work, when all bytes are taken; on any failure `abort` runs first. */
  async finish<T>(work: () => Promise<T>, abort: () => Promise<void>): Promise<T> {
    try {
      await this.#turn;
      this.check();
      const result = await work();
      this.end();
      return result;
    } catch (error) {
      await abort();
      this.#callersSignal?.throwIfAborted();
      throw error;
    }
  }

  /** From here on it is neither written to nor given up. */
  end(): void {
    this.#isOpen = false;
  }

  /** Gives it up: returns when no call is at work with bytes. */
  async cancel(): Promise<void> {
    this.#isOpen = false;
    this.#cancel.abort(new OperatingError("storage_failed", `${this.action}: it was given up`));
    await this.#turn;
  }
}
