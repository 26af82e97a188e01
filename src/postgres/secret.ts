// A password or passphrase in memory. Whatever prints it (template strings, console, JSON, errors) shows a placeholder,
// so that it cannot get into a log by accident. A structured clone loses the private field: cross threads with
// serializeConnectionSettings().

import { inspect } from "node:util";

const PLACEHOLDER = "[secret]";

/** A string that is shown to nobody; `reveal()` is the only way to its value. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself: for the wire and for key derivation, never for a message. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return PLACEHOLDER;
  }

  toJSON(): string {
    return PLACEHOLDER;
  }

  [inspect.custom](): string {
    return PLACEHOLDER;
  }
}
