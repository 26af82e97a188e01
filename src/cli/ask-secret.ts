// Asks for a secret on the terminal without echo. In raw mode the terminal sends every key as it is: end of line,
// erase, and Ctrl-C are handled here. The prompt goes to standard error, so that results can be redirected.

import { StringDecoder } from "node:string_decoder";
import { OperatingError } from "../base/errors.ts";

const LENGTH_MAX = 1024;

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const CTRL_U = "\u0015";
const BACKSPACE = "\b";
const DELETE = "\u007f";

/** The part of a terminal's input that is used. */
export interface KeyInput {
  setRawMode(isRaw: boolean): unknown;
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  off(event: "data", listener: (bytes: Buffer) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export interface AskOptions {
  readonly input: KeyInput;
  readonly write: (text: string) => void;
  readonly signal: AbortSignal;
  /** Called for Ctrl-C, which sends no signal in raw mode. */
  readonly interrupt: () => void;
}

/** One line from the terminal. Throws the signal's reason when it is aborted. */
export async function askSecret(prompt: string, options: AskOptions): Promise<string> {
  const { input, write, signal, interrupt } = options;
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const reader = new LineReader();
  const decoder = new StringDecoder("utf8");
  const onData = (bytes: Buffer): void => {
    for (const key of decoder.write(bytes)) {
      const isInterrupt = key === CTRL_C;
      if (!isInterrupt && !reader.isEnd(key)) continue;
      write("\n");
      return isInterrupt ? interrupt() : resolve(reader.text);
    }
    if (reader.text.length > LENGTH_MAX) reject(tooLong());
  };
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  write(prompt);
  input.setRawMode(true);
  input.on("data", onData);
  input.resume();
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    input.off("data", onData);
    input.setRawMode(false);
    input.pause();
  }
}

function tooLong(): OperatingError {
  return new OperatingError("usage", `the passphrase is longer than ${LENGTH_MAX} characters`);
}

class LineReader {
  text = "";

  /** Takes a key; true when it ends the line. */
  isEnd(key: string): boolean {
    if (key === "\r" || key === "\n" || key === CTRL_D) return true;
    if (key === CTRL_U) this.text = "";
    else if (key === BACKSPACE || key === DELETE) this.text = Array.from(this.text).slice(0, -1).join("");
    else this.text += key;
    return false;
  }
}
