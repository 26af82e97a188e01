// A server that a test file starts, and that ends when the test's process ends, however that happens: a small shell
// stands between, and stops the server when its own standard input closes.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const START_TIMEOUT_MS = 180_000;
const POLL_INTERVAL_MS = 50;
const OUTPUT_LENGTH_MAX = 20_000;

const KEEPER = `"$@" </dev/null & server=$!
read -r how
kill -TERM $server; wait $server`;

export interface KeptServer extends AsyncDisposable {
  /** What it has written so far, its end. */
  output(): string;
}

export interface KeeperSettings {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** True where the command itself ends when its input closes. */
  readonly readsInput?: boolean;
  readonly isReady: (output: string) => Promise<boolean>;
}

/** Starts a server and waits until it is ready. */
export async function keepServer({ command, environment, isReady, readsInput }: KeeperSettings): Promise<KeptServer> {
  const words = readsInput === true ? command : ["sh", "-c", KEEPER, "keeper", ...command];
  const child = spawn(words[0]!, words.slice(1), { env: environment, stdio: ["pipe", "pipe", "pipe"], detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-OUTPUT_LENGTH_MAX)));
  }
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  while (!(await isReady(output))) {
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      await endServer(child);
      throw new Error(`${command[0]} did not start:\n${output}`);
    }
    await delay(POLL_INTERVAL_MS);
  }
  return { output: () => output, [Symbol.asyncDispose]: async () => await endServer(child) };
}

async function endServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stdin?.end();
  await ended;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
