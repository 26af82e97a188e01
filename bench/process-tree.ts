// Watches a process and everything that it starts, from /proc: memory of the whole tree, and processor time of the
// threads of its first process. Linux only.
//
// Memory is the sum of VmRSS over the tree, which counts a page that two processes share twice: never too small. It is
// sampled; the kernel's own high-water mark of the first process (VmHWM) is kept beside it.

import { readdirSync, readFileSync } from "node:fs";

const INTERVAL_MS = 20;
/** sysconf(_SC_CLK_TCK), which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;

/** Processor time, in seconds. */
export interface CpuSeconds {
  readonly user: number;
  readonly system: number;
}

/** What was seen of a tree of processes. */
export interface TreeUsage {
  /** Highest sum of VmRSS of all processes alive at one moment. */
  readonly peakRssBytes: number;
  /** VmHWM of the first process. */
  readonly mainMaxRssBytes: number;
  /** Of the first process's threads by name, those of one name together; empty unless asked for. */
  readonly threads: ReadonlyMap<string, CpuSeconds>;
}

interface Thread extends CpuSeconds {
  readonly name: string;
}

/** See the head of this file. */
export class ProcessTreeWatch {
  readonly #processId: number;
  readonly #threads = new Map<string, Thread>();
  readonly #withThreads: boolean;
  readonly #timer: NodeJS.Timeout;
  #peakRssBytes = 0;
  #mainMaxRssBytes = 0;

  constructor(processId: number, options: { readonly withThreads: boolean }) {
    this.#processId = processId;
    this.#withThreads = options.withThreads;
    this.#timer = setInterval(() => this.#sample(), INTERVAL_MS);
    this.#sample();
  }

  stop(): TreeUsage {
    clearInterval(this.#timer);
    const threads = new Map<string, CpuSeconds>();
    for (const { name, user, system } of this.#threads.values()) {
      const sum = threads.get(name) ?? { user: 0, system: 0 };
      threads.set(name, { user: sum.user + user, system: sum.system + system });
    }
    return { peakRssBytes: this.#peakRssBytes, mainMaxRssBytes: this.#mainMaxRssBytes, threads };
  }

  #sample(): void {
    let sumBytes = 0;
    for (const processId of treeOf(this.#processId)) {
      const status = readProc(`/proc/${processId}/status`);
      sumBytes += kibibytes(status, "VmRSS") * KIB;
      if (processId === this.#processId) {
        this.#mainMaxRssBytes = Math.max(this.#mainMaxRssBytes, kibibytes(status, "VmHWM") * KIB);
      }
    }
    this.#peakRssBytes = Math.max(this.#peakRssBytes, sumBytes);
    if (this.#withThreads) this.#sampleThreads();
  }

  /** A thread that has ended keeps the last time seen of it. */
  #sampleThreads(): void {
    for (const threadId of listProc(`/proc/${this.#processId}/task`)) {
      const stat = parseStat(readProc(`/proc/${this.#processId}/task/${threadId}/stat`));
      if (stat !== null) this.#threads.set(threadId, { name: threadName(stat.name), ...stat.own });
    }
  }
}

/** Processor time that a process and its children that have ended used so far; null when it is not there. */
export function cpuOf(processId: number | "self"): { readonly own: CpuSeconds; readonly children: CpuSeconds } | null {
  return parseStat(readProc(`/proc/${processId}/stat`));
}

/** A process with all its descendants. A child belongs to the thread that started it. */
function treeOf(processId: number): number[] {
  const found = [processId];
  for (const parent of found) {
    for (const threadId of listProc(`/proc/${parent}/task`)) {
      const children = readProc(`/proc/${parent}/task/${threadId}/children`).trim();
      if (children !== "") found.push(...children.split(" ").map(Number));
    }
  }
  return found;
}

/** Fields of /proc/PID/stat: proc(5). The name stands in parentheses and may hold anything. */
function parseStat(text: string): { name: string; own: CpuSeconds; children: CpuSeconds } | null {
  const nameEnd = text.lastIndexOf(")");
  if (nameEnd < 0) return null;
  const name = text.slice(text.indexOf("(") + 1, nameEnd);
  const fields = text.slice(nameEnd + 2).split(" ");
  const seconds = (number: number): number => Number(fields[number - 3]) / TICKS_PER_SECOND;
  return {
    name,
    own: { user: seconds(14), system: seconds(15) },
    children: { user: seconds(16), system: seconds(17) },
  };
}

/** V8's and libuv's helper threads are numbered or many: one name for each kind. */
function threadName(name: string): string {
  return name.replace(/^(libuv-worker|V8Worker|node-V8Worker).*/i, "$1");
}

function kibibytes(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
}

/** "" for a process that has just ended. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function listProc(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
