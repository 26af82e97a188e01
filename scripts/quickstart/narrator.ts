// What `npm start` prints, and how it runs the commands that it shows: the real program as a user starts it, its output
// going straight to the user's terminal. Nothing of the user's own PG* and CAIRN_* settings reaches it.

import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { delimiter, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";

const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));
const DOCUMENT_BYTES_MAX = 1024 * 1024;
const PG_RESTORE_MAJOR_MIN = 17;
const TOOL_TIMEOUT_MS = 10_000;

/** Something was not as it should be. */
export class StepError extends Error {}

/** Throws StepError unless the condition holds. */
export function check(condition: boolean, message: string): void {
  if (!condition) throw new StepError(message);
}

/** A restore point in the document of `cairn list --json`, as far as it is used here. */
export interface ListedPoint {
  readonly id: string;
  readonly rowCount: number;
  readonly sealedBytes: number;
  readonly newBytes: number;
  readonly verifiedAt: string | null;
  readonly isDamaged: boolean;
}

/** Says what happens and runs it. */
export class Narrator {
  readonly #signal: AbortSignal;
  readonly #environment: NodeJS.ProcessEnv;
  #stepCount = 0;
  #current: ChildProcess | null = null;

  /** `settings`: PG* and CAIRN_* variables of the commands. */
  constructor(settings: Readonly<Record<string, string>>, signal: AbortSignal) {
    const kept = Object.entries(process.env).filter(([name]) => !/^(PG|CAIRN_)/.test(name));
    this.#environment = { ...Object.fromEntries(kept), ...settings };
    this.#signal = signal;
  }

  /** The heading of the next step, and a few sentences. */
  step(title: string, ...sentences: readonly string[]): void {
    this.#signal.throwIfAborted();
    this.#stepCount += 1;
    const heading = `${this.#stepCount}. ${title}`;
    this.say("", heading, "-".repeat(heading.length), ...sentences);
  }

  say(...lines: readonly string[]): void {
    process.stdout.write(`${lines.join("\n")}\n`);
  }

  /** Runs `cairn` with its output shown. Throws StepError when it fails. */
  async cairn(...words: readonly string[]): Promise<void> {
    await this.cairnEndingWith(0, ...words);
  }

  /** The same where another exit status than 0 is the right one. */
  async cairnEndingWith(expected: number, ...words: readonly string[]): Promise<void> {
    this.say("", `$ cairn ${words.join(" ")}`);
    const status = await this.#run(process.execPath, [launcher, ...words], ["ignore", "inherit", "inherit"]);
    check(status === expected, `cairn ${words[0]} ended with status ${status}`);
  }

  /** The restore points, newest first, asked for without showing it. */
  async restorePoints(): Promise<readonly ListedPoint[]> {
    const text = await this.#output(process.execPath, [launcher, "list", "--json"]);
    return (JSON.parse(text) as { readonly restorePoints: readonly ListedPoint[] }).restorePoints;
  }

  /** Shows the beginning of pg_restore's list of an archive, and returns all of it. */
  async listArchive(pgRestore: string, file: string): Promise<string> {
    this.say("", `$ pg_restore --list ${file} | head -n 14`);
    const text = await this.#output(pgRestore, ["--list", file]);
    this.say(...text.split("\n").slice(0, 14));
    return text;
  }

  /** Ends the command that runs, if there is one. A terminal's Ctrl-C reaches it without us. */
  endCommand(signalName: NodeJS.Signals): void {
    if (signalName !== "SIGINT" || !process.stdin.isTTY) this.#current?.kill(signalName);
  }

  async #output(program: string, words: readonly string[]): Promise<string> {
    const parts: Buffer[] = [];
    let sizeBytes = 0;
    const status = await this.#run(program, words, ["ignore", "pipe", "inherit"], (bytes) => {
      sizeBytes += bytes.length;
      if (sizeBytes <= DOCUMENT_BYTES_MAX) parts.push(bytes);
    });
    check(status === 0, `${program} ${words.join(" ")} ended with status ${status}`);
    return Buffer.concat(parts).toString("utf8");
  }

  async #run(
    program: string,
    words: readonly string[],
    stdio: StdioOptions,
    onOutput?: (bytes: Buffer) => void,
  ): Promise<number | string | null> {
    this.#signal.throwIfAborted();
    const child = spawn(program, words, { env: this.#environment, stdio });
    this.#current = child;
    if (onOutput !== undefined) child.stdout?.on("data", onOutput);
    try {
      return await new Promise((resolve, reject) => {
        child.on("error", reject);
        child.on("close", (status, signalName) => resolve(status ?? signalName));
      });
    } finally {
      this.#current = null;
      this.#signal.throwIfAborted();
    }
  }
}

/** An installed pg_restore that reads the archives of today's pg_dump; null when there is none. */
export function findPgRestore(): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter).filter((name) => isAbsolute(name))) {
    const program = join(folder, "pg_restore");
    const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8", timeout: TOOL_TIMEOUT_MS });
    const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout ?? "")?.[1] ?? 0);
    if (major >= PG_RESTORE_MAJOR_MIN) return program;
  }
  return null;
}
