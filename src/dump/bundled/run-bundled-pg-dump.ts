// Runs a bundled pg_dump (17 or 18, WebAssembly) in a worker thread and relays its protocol messages to a function.
// It writes a custom-format archive without compression; selection flags are the caller's. It sees no disk, no network,
// no environment. Limits: the size of the archive; the wasm memory is at most 2 GiB by its own declaration.

import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { OperatingError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import { siblingModuleUrl } from "../../base/worker-url.ts";
import { type BundledMajor, bundledPackageUrl } from "./bundled-packages.ts";
import { startupAnswer } from "./startup-answer.ts";
import { ANSWER_COMPLETE, type ThreadInput, type ThreadMessage } from "./thread-messages.ts";

/** What a run of pg_dump gave. */
export interface PgDumpRun {
  /** The bytes of the custom-format archive as written; incomplete unless exitCode is 0. */
  readonly archive: Uint8Array;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Options of runBundledPgDump(). */
export interface BundledPgDumpOptions {
  readonly major: BundledMajor;
  /** Selection flags; format, compression, database and user are added. */
  readonly arguments: readonly string[];
  /** ParameterStatus values of the server's session, by name. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly databaseName: string;
  readonly userName: string;
  /**
   * Sends one complete frontend message (type byte, length, payload) and hands the backend's bytes to `onBytes`, in
   * parts of any size, up to and including ReadyForQuery; resolves after the last part. The parts are copied.
   */
  exchange(message: Uint8Array, onBytes: (bytes: Uint8Array) => void): Promise<void>;
  readonly signal: AbortSignal;
  readonly archiveSizeBytesMax: number;
}

/**
 * Runs the bundled pg_dump to its end. A pg_dump that fails is a result with its exit code and its text; what
 * `exchange` throws and the signal's reason are thrown. The thread has ended when it settles.
 */
export async function runBundledPgDump(options: BundledPgDumpOptions): Promise<PgDumpRun> {
  options.signal.throwIfAborted();
  const packageUrl = await bundledPackageUrl(options.major);
  const { port1: answers, port2: threadPort } = new MessageChannel();
  const input: ThreadInput = {
    packageUrl: packageUrl.href,
    arguments: ["-Fc", "--compress=none", "--no-password", ...options.arguments, ...connectionArguments(options)],
    startupAnswer: startupAnswer(options.parameters),
    archiveSizeBytesMax: options.archiveSizeBytesMax,
    answers: threadPort,
    partsPosted: new Int32Array(new SharedArrayBuffer(4)),
  };
  const worker = new Worker(siblingModuleUrl(import.meta.url, "pg-dump-thread"), {
    workerData: input,
    transferList: [threadPort],
    env: {},
    execArgv: [],
    name: `pg_dump ${options.major}`,
  });
  try {
    const { archive, stderr, exitCode } = await followThread(worker, options, posterTo(answers, input.partsPosted));
    return { archive, stderr, exitCode };
  } finally {
    await worker.terminate();
    answers.close();
  }
}

/** One connection string, so that a name with = or :// in it stays a name. */
function connectionArguments(options: BundledPgDumpOptions): string[] {
  const quote = (value: string): string => `'${value.replaceAll(/['\\]/g, "\\$&")}'`;
  return [`--dbname=dbname=${quote(options.databaseName)} user=${quote(options.userName)}`];
}

type Post = (part: Uint8Array | typeof ANSWER_COMPLETE) => void;

function posterTo(answers: MessagePort, partsPosted: Int32Array): Post {
  return (part) => {
    if (part === ANSWER_COMPLETE) {
      answers.postMessage(part);
    } else {
      // Of its own: a view into a socket's buffer would be sent with the whole buffer.
      const copy = new Uint8Array(part);
      answers.postMessage(copy, [copy.buffer]);
    }
    Atomics.add(partsPosted, 0, 1);
    Atomics.notify(partsPosted, 0);
  };
}

/** Serves the thread's requests until it is done; settles once. */
function followThread(worker: Worker, options: BundledPgDumpOptions, postPart: Post): Promise<PgDumpRun> {
  const { promise, resolve, reject } = Promise.withResolvers<PgDumpRun>();
  const onAbort = (): void => reject(options.signal.reason);
  const onMessage = (message: ThreadMessage): void => {
    if (message.kind === "done") resolve({ ...message, stderr: withoutLookupNotice(message.stderr) });
    else if (message.kind === "archive-too-large") reject(archiveTooLarge(options.archiveSizeBytesMax));
    else options.exchange(message.message, postPart).then(() => postPart(ANSWER_COMPLETE), reject);
  };
  options.signal.addEventListener("abort", onAbort, { once: true });
  worker.on("message", onMessage);
  worker.on("error", (error) => reject(threadFailed(options.major, error)));
  worker.on("exit", () => reject(threadFailed(options.major, new Error("its thread ended"))));
  return promise.finally(() => options.signal.removeEventListener("abort", onAbort));
}

/** pg_dump looks for its own file, of which a WebAssembly program has none, and says so; it goes on all the same. */
function withoutLookupNotice(stderr: string): string {
  return stderr.replace(/^could not find a "pg_dump" to execute\n/m, "");
}

function archiveTooLarge(sizeBytesMax: number): OperatingError {
  return new OperatingError(
    "value_too_large",
    `pg_dump's table of contents is larger than ${formatSize(sizeBytesMax)}`,
    {
      hint: "Select fewer schemas or tables per backup.",
    },
  );
}

function threadFailed(major: BundledMajor, cause: unknown): OperatingError {
  return new OperatingError("pg_dump_failed", `the bundled pg_dump ${major} failed in itself`, {
    detail: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    hint: "Install the pg_dump of the server's major version; it is preferred when found.",
    cause,
  });
}
