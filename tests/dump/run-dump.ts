// Runs `cairn dump` as an operation in a test: a folder of its own for the archive, the events kept, and what the stock
// pg_restore makes of an archive.

import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { OperatingError } from "../../src/base/errors.ts";
import { runDump, type DumpReceipt, type DumpSettings } from "../../src/operations/dump/index.ts";
import type { OperationContext, OperationEvent } from "../../src/operations/operation.ts";

const outputBytesMax = 1 << 30;

/** A folder that is removed when disposed. */
export interface TestFolder extends AsyncDisposable {
  readonly path: string;
  /** Path of a file in it. */
  file(name: string): string;
  /** Names of the files in it, hidden ones too. */
  names(): Promise<string[]>;
}

export async function testFolder(): Promise<TestFolder> {
  const path = await mkdtemp(join(tmpdir(), "cairn-dump-"));
  return {
    path,
    file: (name) => join(path, name),
    names: async () => (await readdir(path)).toSorted(),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export interface DumpTrial {
  readonly source: string;
  readonly file: string;
  readonly settings?: Partial<DumpSettings>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  onEvent?(event: OperationEvent): void;
}

/** Runs the operation. Without other settings: two readers, stored without compression. */
export function dump(trial: DumpTrial): Promise<DumpReceipt> {
  const context: OperationContext = {
    signal: trial.signal ?? new AbortController().signal,
    environment: trial.environment ?? {},
    homeDirectory: "/nonexistent",
    userName: "postgres",
    onEvent: (event) => trial.onEvent?.(event),
  };
  return runDump(context, {
    source: trial.source,
    file: trial.file,
    overwrite: false,
    jobs: 2,
    archiveVersion: null,
    compression: "none",
    pgDump: null,
    selection: [],
    ...trial.settings,
  });
}

/** The OperatingError that something ends with; anything else that it ends with is thrown. */
export async function failureOf(running: Promise<unknown>): Promise<OperatingError> {
  try {
    await running;
  } catch (error) {
    if (error instanceof OperatingError) return error;
    throw error;
  }
  throw new Error("it should have failed");
}

/** An archive as SQL text by the stock pg_restore. */
export async function restoreText(pgRestore: string, file: string): Promise<Buffer> {
  const options = {
    encoding: "buffer",
    maxBuffer: outputBytesMax,
    env: { LC_ALL: "C", PATH: "/nonexistent" },
  } as const;
  const key = (await knowsRestrictKey(pgRestore)) ? ["--restrict-key=x"] : [];
  const { stdout } = await promisify(execFile)(pgRestore, ["-f", "-", ...key, file], options);
  return stdout;
}

/** The options of pg_restore before the minor releases of August 2025 have no --restrict-key. */
async function knowsRestrictKey(pgRestore: string): Promise<boolean> {
  const { stdout } = await promisify(execFile)(pgRestore, ["--help"]);
  return stdout.includes("--restrict-key");
}

/** "" when equal, else the first difference with the lines around it. */
export function firstDifference(left: Buffer, right: Buffer): string {
  if (left.equals(right)) return "";
  let at = 0;
  while (at < left.length && left[at] === right[at]) at += 1;
  const from = Math.max(0, at - 300);
  const show = (text: Buffer): string => text.subarray(from, at + 300).toString("latin1");
  return `lengths ${left.length} and ${right.length}, different at ${at}\n--- left\n${show(left)}\n--- right\n${show(right)}`;
}
