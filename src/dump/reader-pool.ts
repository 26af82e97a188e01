// Drives the reader threads: hands out tasks in plan order, two ahead for each thread, passes their chunks to the sink
// with back-pressure, and reads on the holder what a thread could not lock. The first failure ends all.

import { Worker } from "node:worker_threads";

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { siblingModuleUrl } from "../base/worker-url.ts";
import type { DataSink } from "./data-sink.ts";
import { ReadFailure } from "./read-failure.ts";
import type { FromReader, ReaderTask, ReaderThreadOptions, ToReader } from "./reader-messages.ts";
import type { PlannedTask } from "./task-list.ts";

/** Tasks given to a thread ahead of their results. */
const TASKS_AHEAD_COUNT = 3;

/** A reader makes small short-lived objects; V8 would let each thread gather 48 MiB of them. */
const READER_YOUNG_GENERATION_MIB = 8;

/** How long a reader may take to end. */
const STOP_TIMEOUT_MS = 5_000;

export interface ReaderPoolOptions {
  readonly threads: ReaderThreadOptions;
  readonly jobs: number;
  readonly sink: DataSink;
  readonly signal: AbortSignal;
  /** In plan order. The signal aborts when the readers end, done or failed. */
  tasks(ended: AbortSignal): AsyncIterable<PlannedTask>;
  /** Reads one task on the holder; called one at a time. */
  readOnHolder(task: PlannedTask): Promise<void>;
  onTaskStarted?(task: PlannedTask, readerIndex: number): void;
  onTaskDone?(task: PlannedTask, readerIndex: number): void;
}

/** Reads all tasks; settles when every chunk is with the sink, or with the first failure once all threads are down. */
export async function runReaders(options: ReaderPoolOptions): Promise<void> {
  options.signal.throwIfAborted();
  const pool = new ReaderPool(options);
  try {
    await pool.run();
  } finally {
    await pool.close();
  }
}

interface Reader {
  readonly index: number;
  readonly worker: Worker;
  readonly assigned: Map<number, PlannedTask>;
  /** Sink calls of one reader are made one after another. */
  queue: Promise<void>;
}

class ReaderPool {
  readonly #options: ReaderPoolOptions;
  readonly #readers: Reader[] = [];
  readonly #tasks: AsyncIterator<PlannedTask>;
  readonly #ended = new AbortController();
  /** Taken from the list, and not given to a reader yet: one for each reader that is being started. */
  readonly #ready: PlannedTask[] = [];
  /** Readers that want a task, once for each. */
  readonly #wanting: Reader[] = [];
  #isTaking = false;
  /** Tasks that wait until they are the oldest one under way. */
  readonly #waitingForTurn: (() => void)[] = [];
  #exhausted = false;
  #settled = false;
  #finish: { resolve: () => void; reject: (error: unknown) => void } | null = null;

  constructor(options: ReaderPoolOptions) {
    this.#options = options;
    this.#tasks = options.tasks(this.#ended.signal)[Symbol.asyncIterator]();
  }

  async run(): Promise<void> {
    const onAbort = (): void => this.#settle(this.#options.signal.reason);
    this.#options.signal.addEventListener("abort", onAbort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#finish = { resolve, reject };
        this.#pump();
      });
    } finally {
      this.#options.signal.removeEventListener("abort", onAbort);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#readers.map(({ worker }) => stop(worker)));
    await this.#tasks.return?.();
  }

  #start(): void {
    const index = this.#readers.length;
    const worker = new Worker(siblingModuleUrl(import.meta.url, "reader-thread"), {
      workerData: this.#options.threads,
      name: `reader ${index}`,
      env: {},
      resourceLimits: { maxYoungGenerationSizeMb: READER_YOUNG_GENERATION_MIB },
    });
    const reader: Reader = { index, worker, assigned: new Map(), queue: Promise.resolve() };
    this.#readers.push(reader);
    worker.on("message", (message: FromReader) => this.#onMessage(reader, message));
    worker.on("error", (error) => this.#settle(error));
    worker.on("exit", () => this.#settle(new OperatingError("internal", `reader ${index} ended early`)));
  }

  #onMessage(reader: Reader, message: FromReader): void {
    if (this.#settled) return;
    if (message.type === "ready") {
      for (let count = 0; count < TASKS_AHEAD_COUNT; count += 1) this.#wanting.push(reader);
      this.#pump();
    } else if (message.type === "failed") {
      const task = message.taskId === null ? null : (reader.assigned.get(message.taskId) ?? null);
      this.#settle(new ReadFailure(message.error, task));
    } else if (message.type === "base-wanted") {
      this.#provideBase(reader, message).catch((error: unknown) => this.#settle(error));
    } else {
      reader.queue = reader.queue
        .then(() => this.#handle(reader, message))
        .catch((error: unknown) => this.#settle(error));
    }
  }

  /** Out of turn: what stands in the reader's queue may wait for what the base is wanted for. */
  async #provideBase(reader: Reader, message: FromReader & { type: "base-wanted" }): Promise<void> {
    const { offeredIndex, requestId, taskId } = message;
    const task = reader.assigned.get(taskId);
    assert(task?.kind === "table", "a base is wanted for a table's chunk");
    const plaintext = (await this.#options.sink.loadBase?.(task.table, task.segmentIndex, offeredIndex)) ?? null;
    const buffer = plaintext?.buffer;
    const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === plaintext?.byteLength;
    this.#send(reader, { type: "base", requestId, plaintext }, isWhole ? [buffer] : []);
  }

  async #handle(
    reader: Reader,
    message: Exclude<FromReader, { type: "ready" | "failed" | "base-wanted" }>,
  ): Promise<void> {
    if (this.#settled) return;
    const task = reader.assigned.get(message.taskId);
    assert(task !== undefined, "a reader speaks of its own tasks");
    switch (message.type) {
      case "chunk":
        assert(task.kind === "table", "table chunks belong to tables");
        await this.#options.sink.tableChunk(task.table, task.segmentIndex, message.chunk);
        this.#send(reader, { type: "credit" });
        break;
      case "large-objects":
        assert(task.kind === "large-objects", "large objects belong to buckets");
        await this.#options.sink.largeObjectChunk(task.bucket, message.piece);
        this.#send(reader, { type: "credit" });
        break;
      case "lock-refused":
        await this.#readOnHolder(task);
        this.#end(reader, message.taskId, task);
        break;
      default:
        if (task.kind === "table") {
          await this.#options.sink.segmentDone(task.table, task.segmentIndex, message.rowCount);
        } else {
          await this.#options.sink.largeObjectBucketDone(task.bucket);
        }
        this.#end(reader, message.taskId, task);
    }
  }

  /**
   * One at a time, and only when every task before it is done: a sink that wants them in order would else let the holder
   * stand still over a later one while the next in order waits for the holder.
   */
  async #readOnHolder(task: PlannedTask): Promise<void> {
    while (this.#oldestTaskId() < task.taskId) await new Promise<void>((resolve) => this.#waitingForTurn.push(resolve));
    if (!this.#settled) await this.#options.readOnHolder(task);
  }

  #oldestTaskId(): number {
    return Math.min(...this.#readers.flatMap(({ assigned }) => [...assigned.keys()]));
  }

  #end(reader: Reader, taskId: number, task: PlannedTask): void {
    reader.assigned.delete(taskId);
    for (const wakeUp of this.#waitingForTurn.splice(0)) wakeUp();
    this.#options.onTaskDone?.(task, reader.index);
    this.#wanting.push(reader);
    this.#pump();
  }

  /** Gives out what is ready, and takes more from the list while somebody could use it. */
  #pump(): void {
    while (!this.#settled && this.#ready.length > 0 && this.#wanting.length > 0) {
      this.#give(this.#wanting.shift()!, this.#ready.shift()!);
    }
    const isWanted = this.#wanting.length > 0 || this.#readers.length < this.#options.jobs;
    if (this.#exhausted) this.#finishWhenIdle();
    else if (isWanted && !this.#isTaking && !this.#settled) void this.#take();
  }

  /** Takes one task, and starts a reader as long as there are fewer than there may be: without a task, no thread. */
  async #take(): Promise<void> {
    this.#isTaking = true;
    try {
      const next = await this.#tasks.next();
      if (next.done === true) this.#exhausted = true;
      else this.#ready.push(next.value);
      if (next.done !== true && !this.#settled && this.#readers.length < this.#options.jobs) this.#start();
    } catch (error) {
      this.#settle(error);
    }
    this.#isTaking = false;
    this.#pump();
  }

  #give(reader: Reader, task: PlannedTask): void {
    reader.assigned.set(task.taskId, task);
    this.#options.onTaskStarted?.(task, reader.index);
    this.#send(reader, { type: "task", task: toReaderTask(task) });
  }

  #finishWhenIdle(): void {
    const isIdle = this.#ready.length === 0 && this.#readers.every(({ assigned }) => assigned.size === 0);
    if (isIdle) this.#settle(null);
  }

  #settle(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#ended.abort();
    if (error === null) this.#finish?.resolve();
    else this.#finish?.reject(error);
  }

  #send(reader: Reader, message: ToReader, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#settled) reader.worker.postMessage(message, transfer);
  }
}

/** Lets a reader cancel what the server still does for it; one that takes too long is ended all the same. */
async function stop(worker: Worker): Promise<void> {
  if (worker.threadId === -1) return; // has ended
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  worker.postMessage({ type: "stop" } satisfies ToReader);
  const timer = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

function toReaderTask(task: PlannedTask): ReaderTask {
  const { taskId, knownIds } = task;
  if (task.kind === "large-objects") return { kind: "large-objects", taskId, oids: task.bucket.oids, knownIds };
  const { statement } = task.table.segments[task.segmentIndex]!;
  const { offered, table } = task;
  return { kind: "copy", taskId, statement, lockName: table.quotedName, knownIds, offered };
}
