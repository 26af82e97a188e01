// Runs one command as a user would, as a process of its own, and measures it: wall time, processor time of the whole
// tree, peak memory. Everything written before is synced first, so that nobody pays for the one before.

import { execFile, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

import { cpuOf, ProcessTreeWatch, type CpuSeconds } from "./process-tree.ts";

/** Time that the server's processes get to end after their client, so that their times are counted. */
const SERVER_SETTLE_MS = 150;
const OUTPUT_LENGTH_MAX = 64 << 20;

export interface Command {
  /** What it is called in the raw figures, e.g. "cairn backup". */
  readonly label: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** The server whose ended sessions are counted too. */
  readonly serverProcessId?: number;
  readonly withThreads?: boolean;
}

export interface Measurement {
  readonly label: string;
  readonly wallSeconds: number;
  /** Of the whole tree of processes. */
  readonly cpu: CpuSeconds;
  /** Of the server's sessions that ended meanwhile. */
  readonly serverCpuSeconds: number;
  readonly peakRssBytes: number;
  readonly mainMaxRssBytes: number;
  readonly threads: ReadonlyMap<string, CpuSeconds>;
  readonly output: string;
}

/** Runs a command to its end. Throws with its standard error unless it ended with status 0. */
export async function measure(command: Command): Promise<Measurement> {
  await runPlain("sync", []);
  const server = command.serverProcessId;
  const serverBefore = server === undefined ? 0 : childrenSeconds(server);
  const before = cpuOf("self")!.children;
  const startedAtMs = performance.now();
  const { watch, output } = await runWatched(command);
  const wallSeconds = (performance.now() - startedAtMs) / 1000;
  const usage = watch.stop();
  const after = cpuOf("self")!.children;
  await delay(SERVER_SETTLE_MS);
  return {
    label: command.label,
    wallSeconds,
    cpu: { user: after.user - before.user, system: after.system - before.system },
    serverCpuSeconds: server === undefined ? 0 : childrenSeconds(server) - serverBefore,
    ...usage,
    output,
  };
}

/** Runs a program that is not measured and gives its output; throws with its standard error. */
export async function runPlain(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const options = { env: environment, maxBuffer: OUTPUT_LENGTH_MAX };
  return (await promisify(execFile)(program, [...args], options)).stdout;
}

async function runWatched(command: Command): Promise<{ watch: ProcessTreeWatch; output: string }> {
  const { program, args, environment } = command;
  const child = spawn(program, [...args], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const watch = new ProcessTreeWatch(child.pid ?? 0, { withThreads: command.withThreads ?? false });
  const stopChild = (): void => void child.kill("SIGTERM");
  process.once("exit", stopChild);
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (output.length < OUTPUT_LENGTH_MAX) output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (errors.length < OUTPUT_LENGTH_MAX) errors += text;
  });
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    if (status === 0) return { watch, output };
    throw new Error(`${command.label} failed (status ${status}):\n${errors}${output}`);
  } catch (error) {
    watch.stop();
    throw error;
  } finally {
    process.off("exit", stopChild);
  }
}

function childrenSeconds(processId: number): number {
  const children = cpuOf(processId)?.children;
  return children === undefined ? 0 : children.user + children.system;
}
