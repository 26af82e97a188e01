// A reader thread: one connection in the snapshot, tasks in, finished chunks out. Unframing, hashing and compression
// happen here, synchronously; only finished chunks cross to the main thread, and never more than it gave credit for. A
// chunk that may become a delta waits for its base meanwhile. From two such on nothing more is read from the socket; what
// was read already, up to two chunks and a little, may give some more.

import { parentPort, workerData } from "node:worker_threads";

import { assert } from "../base/assert.ts";
import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import { freeBuffer } from "../base/free-buffer.ts";
import { deserializeConnectionSettings } from "../postgres/index.ts";
import { BaseChoice } from "./base-choice.ts";
import { chunkOf, KnownIds, makeChunkId, makeFrame, type ChunkSource } from "./chunk-maker.ts";
import type { ReadChunk } from "./data-sink.ts";
import { DeltaMaker } from "./delta-maker.ts";
import { readLargeObjects } from "./large-object-reader.ts";
import type {
  FromReader,
  LargeObjectTask,
  ReaderTask,
  ReaderThreadOptions,
  ReadTask,
  ToReader,
} from "./reader-messages.ts";
import { Outbox } from "./outbox.ts";
import { ReaderSession } from "./reader-session.ts";
import { snapshotRefused } from "./snapshot-facts.ts";

/** Chunks that may be on their way to the main thread. */
const READER_CREDIT_COUNT = 4;

/** Statements under way at once: one being answered, one behind it. */
const STATEMENT_COUNT_MAX = 2;

const TAKE_SNAPSHOT = "SET TRANSACTION SNAPSHOT";
const LOCK_NOT_AVAILABLE = "55P03";

interface RunningTask {
  readonly task: ReadTask;
  readonly known: KnownIds;
  readonly bases: BaseChoice;
  rowCount: number;
}

class ReaderThread {
  readonly #options: ReaderThreadOptions;
  readonly #post: (message: FromReader, transfer?: ArrayBuffer[]) => void;
  readonly #tasks: ReaderTask[] = [];
  readonly #running: RunningTask[] = [];
  readonly #outbox = new Outbox((error) => this.fail(error));
  readonly #deltas: DeltaMaker;
  readonly #locked = new Set<string>();
  #session: ReaderSession | null = null;
  #credits = READER_CREDIT_COUNT;
  #creditWaiter: (() => void) | null = null;
  #busy = false;
  #failed = false;

  constructor(options: ReaderThreadOptions, post: (message: FromReader, transfer?: ArrayBuffer[]) => void) {
    this.#options = options;
    this.#post = post;
    this.#deltas = new DeltaMaker((message) => post(message));
  }

  async open(): Promise<void> {
    this.#session = await ReaderSession.open(deserializeConnectionSettings(this.#options.settings), {
      chunkSizeBytes: this.#options.chunks.chunkSizeBytes,
      events: {
        chunk: (text, rowCount, continues) => this.#onChunk(text, rowCount, continues),
        started: () => this.#pump(),
        lost: (error) => this.fail(error),
      },
    });
    if (this.#failed) {
      this.#session.close();
      return;
    }
    // All at once: on a network each way to the server and back takes longer than any of them.
    const session = this.#session;
    const statements = this.#options.setupStatements;
    const outcomes = await Promise.all(statements.map((statement) => session.run(statement)));
    for (const [index, { error }] of outcomes.entries()) {
      if (error !== null) throw statements[index]!.startsWith(TAKE_SNAPSHOT) ? snapshotRefused(error) : error;
    }
    this.#post({ type: "ready" });
  }

  add(task: ReaderTask): void {
    this.#tasks.push(task);
    this.#pump();
  }

  credit(): void {
    this.#credits += 1;
    if (this.#credits <= 0) return;
    this.#resume();
    this.#creditWaiter?.();
    this.#creditWaiter = null;
  }

  base(requestId: number, plaintext: Uint8Array | null): void {
    this.#deltas.answer(requestId, plaintext);
  }

  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    void this.#session?.cancelAndClose();
    const known = isOperatingError(error) ? error : null;
    this.#post({
      type: "failed",
      taskId: this.#running[0]?.task.taskId ?? null,
      error: {
        message: messageOf(error),
        sqlState: known?.sqlState ?? null,
        detail: known?.detail ?? null,
        hint: known?.hint ?? null,
        code: known?.code ?? null,
      },
    });
  }

  async stop(): Promise<void> {
    this.#failed = true; // what comes after is of no interest
    await this.#session?.cancelAndClose();
  }

  /** Sends as much as may be under way. */
  #pump(): void {
    const session = this.#session;
    if (session === null || this.#busy || this.#failed) return;
    while (session.pendingCount < STATEMENT_COUNT_MAX) {
      const task = this.#tasks[0];
      if (task === undefined) return;
      if (task.kind === "large-objects") {
        if (session.pendingCount === 0) this.#exclusive(this.#readLargeObjects(task));
        return;
      }
      if (task.lockName !== null && !this.#locked.has(task.lockName)) {
        if (session.pendingCount === 0) this.#exclusive(this.#lock(task, task.lockName));
        return;
      }
      this.#tasks.shift();
      this.#read(task);
    }
  }

  /** Runs something that must have the session to itself. */
  #exclusive(work: Promise<void>): void {
    this.#busy = true;
    work.then(
      () => {
        this.#busy = false;
        this.#pump();
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** Takes pg_dump's own lock here too; refused, the task goes back: the holder has the lock already. */
  async #lock(task: ReadTask, name: string): Promise<void> {
    const lock = `LOCK TABLE ONLY ${name} IN ACCESS SHARE MODE NOWAIT`;
    const outcome = await this.#session!.run(`SAVEPOINT cairn_lock; ${lock}; RELEASE SAVEPOINT cairn_lock`);
    if (outcome.error === null) {
      this.#locked.add(name);
      return;
    }
    if (outcome.error.sqlState !== LOCK_NOT_AVAILABLE) throw outcome.error;
    const rollback = await this.#session!.run("ROLLBACK TO SAVEPOINT cairn_lock; RELEASE SAVEPOINT cairn_lock");
    if (rollback.error !== null) throw rollback.error;
    assert(this.#tasks[0] === task, "the task being locked is the next one");
    this.#tasks.shift();
    this.#outbox.add(() => this.#post({ type: "lock-refused", taskId: task.taskId }));
  }

  #read(task: ReadTask): void {
    const bases = new BaseChoice(task.offered ?? []);
    const running = { task, known: new KnownIds(task.knownIds), bases, rowCount: 0 };
    this.#running.push(running);
    this.#session!.start(task.statement, (outcome) => {
      if (this.#failed) return;
      assert(this.#running[0] === running, "statements end in the order in which they were sent");
      const error = outcome.error ?? miscounted(outcome.tag, running.rowCount);
      if (error !== null) {
        this.fail(error);
        return;
      }
      this.#running.shift();
      this.#outbox.add(() => this.#post({ type: "done", taskId: task.taskId, rowCount: running.rowCount }));
      this.#pump();
    });
  }

  #onChunk(text: Uint8Array, rowCount: number, continues: boolean): void {
    const running = this.#running[0];
    if (running === undefined || this.#failed) return;
    running.rowCount += rowCount;
    const source = { kind: "table", text, rowCount, continues } as const;
    const id = makeChunkId(this.#options.chunks.hashing, source.kind, text);
    this.#credits -= 1;
    if (running.known.has(id)) {
      running.bases.passEqual(id, text.length);
      this.#sendChunk(running, chunkOf(source, id, null));
    } else if (!this.#beginDelta(running, source, id)) {
      this.#sendChunk(running, chunkOf(source, id, makeFrame(this.#options.chunks.compression, text)));
    }
    if (this.#credits <= 0 || this.#deltas.isBusy) this.#session!.pause();
  }

  /** False: a full frame is to be made. */
  #beginDelta(running: RunningTask, source: ChunkSource, id: Uint8Array): boolean {
    const { lockName: table, offered, taskId } = running.task;
    const chosen = running.bases.choose(source.text.length);
    const lengths = chosen === null ? null : offered![chosen.index]!.base;
    if (chosen === null || lengths === null) return false;
    const finish = this.#deltas.begin({ taskId, offeredIndex: chosen.index, lengths, table });
    if (finish === null) return false;
    const text = Buffer.allocUnsafeSlow(source.text.length);
    text.set(source.text); // the session's buffer is filled again meanwhile
    this.#outbox.addLater(async () => {
      const { foundAt, frame: delta } = await finish(text);
      if (this.#failed) return;
      if (foundAt !== null) running.bases.foundAt(chosen, foundAt);
      const frame = delta ?? makeFrame(this.#options.chunks.compression, text);
      const chunk = chunkOf({ ...source, text }, id, frame);
      freeBuffer(text);
      this.#postChunk(running, delta === null ? chunk : { ...chunk, deltaOf: chosen.index });
      this.#resume();
    });
    return true;
  }

  #sendChunk(running: RunningTask, chunk: ReadChunk): void {
    this.#outbox.add(() => this.#postChunk(running, chunk));
  }

  #postChunk({ task }: RunningTask, chunk: ReadChunk): void {
    const transfer = chunk.frame === null ? [] : [chunk.frame.buffer as ArrayBuffer];
    this.#post({ type: "chunk", taskId: task.taskId, chunk }, transfer);
  }

  #resume(): void {
    if (this.#credits > 0 && !this.#deltas.isBusy) this.#session?.resume();
  }

  async #readLargeObjects(task: LargeObjectTask): Promise<void> {
    this.#tasks.shift();
    for await (const piece of readLargeObjects(this.#session!, task, this.#options.chunks)) {
      this.#credits -= 1;
      const transfer = piece.chunk.frame === null ? [] : [piece.chunk.frame.buffer as ArrayBuffer];
      this.#outbox.add(() => this.#post({ type: "large-objects", taskId: task.taskId, piece }, transfer));
      if (this.#credits <= 0) await this.#waitForCredit();
    }
    this.#outbox.add(() => this.#post({ type: "done", taskId: task.taskId, rowCount: 0 }));
  }

  #waitForCredit(): Promise<void> {
    return new Promise((resolve) => {
      this.#creditWaiter = resolve;
    });
  }
}

function miscounted(tag: string, rowCount: number): OperatingError | null {
  if (tag === `COPY ${rowCount}`) return null;
  return new OperatingError("internal", `the server counted "${tag}", ${rowCount} rows were received`);
}

assert(parentPort !== null, "reader-thread.ts runs as a worker thread");
const port = parentPort;
const thread = new ReaderThread(workerData as ReaderThreadOptions, (message, transfer) =>
  port.postMessage(message, transfer ?? []),
);
port.on("message", (message: ToReader) => {
  if (message.type === "task") thread.add(message.task);
  else if (message.type === "credit") thread.credit();
  else if (message.type === "base") thread.base(message.requestId, message.plaintext);
  else {
    void thread.stop();
    port.close();
  }
});
thread.open().catch((error: unknown) => thread.fail(error));
