// Servers that must not outlive this process: when it ends or is told to end by a signal that nobody else handles, they
// are stopped at once and their folders removed. SIGKILL cannot be caught: then a server and its folder stay.

import { rmSync } from "node:fs";

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
    try {
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    } catch {
      // the server may still be writing; nothing more can be done in a process that ends
    }
  }
  guarded.clear();
}
