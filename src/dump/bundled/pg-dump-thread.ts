// The worker thread that runs the bundled pg_dump. It may block: its socket waits with Atomics.wait for the main thread,
// which talks to the server. Started by run-bundled-pg-dump.ts; the messages are in thread-messages.ts.

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { assert } from "../../base/assert.ts";
import { ByteCollector } from "./byte-collector.ts";
import { concatenate } from "./bytes.ts";
import { FrontendFramer } from "./frontend-framer.ts";
import { type PackagePgDump, type PgDumpStreams, runPgDumpModule } from "./pg-dump-module.ts";
import { ANSWER_COMPLETE, type ThreadInput, type ThreadMessage } from "./thread-messages.ts";

/** The end of standard error that is kept; pg_dump writes a few lines, with --verbose one for each object. */
const STDERR_SIZE_BYTES_MAX = 256 * 1024;

const input = workerData as ThreadInput;

function report(message: ThreadMessage, transfer: ArrayBuffer[] = []): void {
  assert(parentPort !== null, "runs in a worker thread");
  parentPort.postMessage(message, transfer);
}

/** The server's side of the socket: frontend messages go to the main thread, answers come back in parts. */
class ServerSocket {
  #pending: Uint8Array = new Uint8Array(0);
  #isAnswerOutstanding = false;
  #partsTaken = 0;
  readonly #framer = new FrontendFramer();

  send(bytes: Uint8Array): void {
    for (const frame of this.#framer.push(bytes)) {
      if (frame.kind === "encryption-request") this.#pending = Uint8Array.of(0x4e); // 'N': not offered
      else if (frame.kind === "startup") this.#pending = input.startupAnswer;
      else if (frame.kind === "message") this.#request(frame.bytes);
    }
  }

  receive(target: Uint8Array): number {
    while (this.#pending.length === 0 && this.#isAnswerOutstanding) this.#awaitPart();
    const length = Math.min(this.#pending.length, target.length);
    target.set(this.#pending.subarray(0, length));
    this.#pending = this.#pending.subarray(length);
    return length;
  }

  #request(message: Uint8Array<ArrayBuffer>): void {
    // libpq stops reading at ReadyForQuery; that the answer is complete is said in a part of its own.
    while (this.#isAnswerOutstanding) this.#awaitPart();
    assert(this.#pending.length === 0, "pg_dump sends one message and reads its whole answer before the next");
    this.#isAnswerOutstanding = true;
    report({ kind: "request", message }, [message.buffer]);
  }

  #awaitPart(): void {
    Atomics.wait(input.partsPosted, 0, this.#partsTaken);
    const received = receiveMessageOnPort(input.answers);
    if (received === undefined) return;
    this.#partsTaken += 1;
    if (received.message === ANSWER_COMPLETE) this.#isAnswerOutstanding = false;
    else this.#pending = concatenate([this.#pending, received.message as Uint8Array]);
  }
}

async function main(): Promise<void> {
  const socket = new ServerSocket();
  const archive = new ByteCollector(input.archiveSizeBytesMax);
  const stderr = new ByteCollector(STDERR_SIZE_BYTES_MAX);
  let isTooLarge = false;
  const streams: PgDumpStreams = {
    send: (bytes) => socket.send(bytes),
    receive: (target) => socket.receive(target),
    writeOutput: (bytes) => {
      if (archive.append(bytes)) return;
      isTooLarge = true;
      throw new Error("the archive is too large");
    },
    writeError: (bytes) => {
      if (stderr.append(bytes)) return;
      stderr.take(); // full: what was said last matters most
      stderr.append(bytes.subarray(-STDERR_SIZE_BYTES_MAX));
    },
  };
  const { pgDump } = (await import(input.packageUrl)) as { pgDump: PackagePgDump };
  try {
    const exitCode = await runPgDumpModule(pgDump, input.arguments, streams);
    const bytes = archive.take();
    const text = new TextDecoder().decode(stderr.take());
    report({ kind: "done", archive: bytes, stderr: text, exitCode }, [bytes.buffer]);
  } catch (error) {
    if (!isTooLarge) throw error;
    report({ kind: "archive-too-large" });
  }
}

await main();
