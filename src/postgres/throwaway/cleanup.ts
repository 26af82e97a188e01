// Servers that must not outlive this process: when it ends or is told to end by a signal that nobody else handles, they
// are stopped at once and their folders removed. SIGKILL cannot be caught: then a server and its folder stay.

import { existsSync, rmSync } from "node:fs";

const REMOVE_COUNT_MAX = 100;
const REMOVE_PAUSE_MS = 20;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

interface Guarded {
  readonly pid: number;
  readonly directory: string;
}

const guarded = new Set<Guarded>();
let isInstalled = false;

/** Guards a server until the returned function is called. */
export function guardServer(pid: number, directory: string): () => void {
  const entry = { pid, directory };
  guarded.add(entry);
  install();
  return () => guarded.delete(entry);
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  process.on("exit", cleanUp);
  for (const signal of SIGNALS) {
    const handler = (): void => {
      if (process.listenerCount(signal) > 1) return; // another handler decides when the process ends
      cleanUp();
      process.removeListener(signal, handler);
      process.kill(process.pid, signal);
    };
    process.on(signal, handler);
  }
}

function cleanUp(): void {
  for (const { pid, directory } of guarded) {
    try {
      process.kill(pid, "SIGQUIT"); // immediate shutdown: its children go with it
    } catch {
      // it is gone already
    }
    removeNow(directory);
  }
  guarded.clear();
}

// A process that ends cannot wait for events: it tries again while the server is still letting go of its files. (A file
// that the server itself removes in between ends rmSync early, with `force` even without an error.)
function removeNow(directory: string): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let count = 0; count < REMOVE_COUNT_MAX && existsSync(directory); count += 1) {
    if (count > 0) Atomics.wait(pause, 0, 0, REMOVE_PAUSE_MS);
    try {
      rmSync(directory, { recursive: true, force: true });
    } catch {
      // once more
    }
  }
}
