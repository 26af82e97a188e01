// This process as the commands use it: its streams, its terminal, its environment, its end. The only place of the
// command line that writes to them.

import type { Caller } from "./caller.ts";
import { askSecret } from "./ask-secret.ts";
import { logDisplay, quietDisplay, terminalDisplay } from "./progress-display.ts";
import type { ProgressClock, ProgressDisplay, ProgressOutput } from "./progress-display.ts";
import { listenForSignals } from "./signals.ts";
import type { Interruption } from "./signals.ts";

const WIDTH_DEFAULT = 80;

/**
 * process.exit() can wait for ever when V8 compiles in a thread that waits for the main one to collect garbage
 * (nodejs/node#54918), so it is the last resort: nothing should be left that keeps the process alive.
 */
const END_GRACE_MS = 2000;

const clock: ProgressClock = {
  nowMs: () => performance.now(),
  every(intervalMs, call) {
    const timer = setInterval(call, intervalMs).unref();
    return () => clearInterval(timer);
  },
};

const errorOutput: ProgressOutput = {
  isTerminal: process.stderr.isTTY && process.env["TERM"] !== "dumb",
  // A terminal without a size says 0.
  width: () => process.stderr.columns || WIDTH_DEFAULT,
  write: (text) => void process.stderr.write(text),
};

/** The process of `cairn`. */
export class CairnProcess {
  readonly isOutputTerminal = process.stdout.isTTY;
  readonly isDebugging = (process.env["CAIRN_DEBUG"] ?? "") !== "";
  private readonly environment: Readonly<Record<string, string | undefined>>;
  private readonly interruption: Interruption;
  private display: ProgressDisplay | null = null;

  constructor() {
    this.environment = { ...process.env };
    // Programs that are started inherit the environment; they have no business with it.
    delete process.env["CAIRN_PASSPHRASE"];
    delete process.env["CAIRN_RECOVERY_KEY"];
    delete process.env["CAIRN_SFTP_PASSWORD"];
    delete process.env["CAIRN_SFTP_KEY_PASSPHRASE"];
    delete process.env["CAIRN_WEBDAV_PASSWORD"];
    delete process.env["CAIRN_WEBDAV_TOKEN"];
    // A reader that went away, e.g. `head`: what it did not want is not written, and the run goes on to its end.
    process.stdout.on("error", ignorePipeError);
    process.stderr.on("error", ignorePipeError);
    this.interruption = listenForSignals(() => this.tellOfCleanUp(), endProcess);
  }

  /** Progress on standard error. */
  showProgress(isQuiet: boolean): ProgressDisplay {
    if (isQuiet) this.display = quietDisplay(errorOutput);
    else this.display = errorOutput.isTerminal ? terminalDisplay(errorOutput, clock) : logDisplay(errorOutput, clock);
    return this.display;
  }

  /** What the commands may know of this process. */
  caller(display: ProgressDisplay): Caller {
    const { environment, interruption, isOutputTerminal } = this;
    const { signal } = interruption;
    const ask = (prompt: string): Promise<string> => {
      display.clear();
      return askSecret(prompt, {
        input: process.stdin,
        write: (text) => errorOutput.write(text),
        signal,
        interrupt: () => interruption.interrupt(),
      });
    };
    const canAsk = process.stdin.isTTY && process.stderr.isTTY;
    return {
      environment,
      isOutputTerminal,
      signal,
      askSecret: canAsk ? ask : null,
      showText: async (text) => {
        display.clear();
        await this.writeResult(text);
      },
      notify: (notice) => display.notify(notice),
    };
  }

  /** Writes to standard output; done when it is out, or nobody reads. */
  async writeResult(text: string): Promise<void> {
    if (text === "") return;
    await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
  }

  async writeError(text: string): Promise<void> {
    await new Promise<void>((resolve) => process.stderr.write(text, () => resolve()));
  }

  /** Lets the process end by itself; something that keeps it alive is cut off after a while. */
  end(status: number): void {
    process.exitCode = status;
    if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
    process.stdin.unref?.();
    setTimeout(() => endProcess(status), END_GRACE_MS).unref();
  }

  private tellOfCleanUp(): void {
    this.display?.clear();
    errorOutput.write("cairn: interrupted, cleaning up (once more to stop at once)\n");
  }
}

function endProcess(status: number): never {
  if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
  process.exit(status);
}

function ignorePipeError(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") process.exitCode = 1;
}
