// The process of a throwaway server: started with its log in a file, stopped, and what its log says at the end.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LOG_TAIL_BYTES, processOptions, type Site } from "./server-site.ts";

const STOP_TIMEOUT_MS = 30_000;

/** How pg_ctl calls the ways to stop. */
export type StopMode = "smart" | "fast" | "immediate";

/** Starts the server's program with settings on its command line; resolves when the process runs. */
export async function spawnServer(site: Site, settings: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const commandLine = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const log = await open(site.logFile, "a", 0o600);
  try {
    const child = spawn(join(site.programs, "postgres"), ["-D", site.dataDirectory, ...commandLine], {
      ...processOptions(site),
      stdio: ["ignore", log.fd, log.fd],
      detached: true, // its own process group, so that Ctrl-C on the terminal reaches only us
    });
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    return child;
  } finally {
    await log.close();
  }
}

const STOP_SIGNALS = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const;

/** Stops the server, more firmly each time it does not end within its time. */
export async function stopChild(child: ChildProcess, mode: StopMode): Promise<void> {
  for (const signal of [STOP_SIGNALS[mode], "SIGQUIT", "SIGKILL"] as const) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<boolean>((resolve) => child.once("exit", () => resolve(true)));
    child.kill(signal);
    const limit = new AbortController();
    const timedOut = sleep(STOP_TIMEOUT_MS, false, { signal: limit.signal }).catch(() => false);
    const hasEnded = await Promise.race([ended, timedOut]);
    limit.abort();
    if (hasEnded) return;
  }
}

/** The end of the server's log, for error messages. */
export async function readLogTail({ logFile }: Site): Promise<string> {
  const handle = await open(logFile, "r");
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, start);
    return buffer.toString("utf8", 0, bytesRead).trim();
  } finally {
    await handle.close();
  }
}
