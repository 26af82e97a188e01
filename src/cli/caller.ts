// The process that calls Cairn, as the commands see it: environment, terminal, cancellation. Tests hand in their own.

import type { Notice } from "../operations/operation.ts";

/** What a command may know of its caller. */
export interface Caller {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isOutputTerminal: boolean;
  /** Aborted with an InterruptedError by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  /** Asks for a line without echo; null when there is no terminal to ask on. */
  readonly askSecret: ((prompt: string) => Promise<string>) | null;
  /** Writes text to standard output at once, before the result. */
  showText(text: string): Promise<void>;
  /** Tells a person something at once. */
  notify(notice: Notice): void;
}
