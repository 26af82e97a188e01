// What passes between the main thread and the thread of the bundled pg_dump.
//
// Thread to main: ThreadMessage on the worker's own port. Main to thread: on `answers`, Uint8Arrays that are parts of
// the backend's answer, then ANSWER_COMPLETE; after each, `partsPosted` is raised by one and notified, because the
// thread sleeps in Atomics.wait and gets no events. Answers may be of any size.

import type { MessagePort } from "node:worker_threads";

/** Follows the last part of each answer. */
export const ANSWER_COMPLETE = "complete";

/** The worker's workerData. */
export interface ThreadInput {
  /** URL of the package's ES module that exports pgDump. */
  readonly packageUrl: string;
  /** pg_dump's arguments without the program's name. */
  readonly arguments: readonly string[];
  /** The backend bytes that answer libpq's StartupMessage, up to ReadyForQuery. */
  readonly startupAnswer: Uint8Array;
  readonly archiveSizeBytesMax: number;
  readonly answers: MessagePort;
  /** One counter in shared memory: messages posted on `answers` so far. */
  readonly partsPosted: Int32Array<SharedArrayBuffer>;
}

/** What the thread posts. */
export type ThreadMessage =
  | { readonly kind: "request"; readonly message: Uint8Array<ArrayBuffer> }
  | { readonly kind: "archive-too-large" }
  | {
      readonly kind: "done";
      readonly archive: Uint8Array<ArrayBuffer>;
      readonly stderr: string;
      readonly exitCode: number;
    };
