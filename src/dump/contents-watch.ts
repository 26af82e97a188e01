// Watches a run of pg_dump through the relay. A pg_dump that asks nothing is stalled after PG_DUMP_SILENCE_MS. A server
// that is silent over a statement may rightly be at work or wait for a lock, however long: after SERVER_SILENCE_MS it is
// asked on a second connection, and it is stalled only when that gets no answer or says that nothing is being done.

import { setTimeout as delay } from "node:timers/promises";

import { OperatingError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import { openSession } from "../postgres/index.ts";
import type { Relay } from "./relay.ts";
import { StallWatch } from "./stall-watch.ts";

export const PG_DUMP_SILENCE_MS = 30 * 60_000;
export const SERVER_SILENCE_MS = 15 * 60_000;

const QUESTION_TIMEOUT_MS = 15_000;
const QUESTION_COUNT_MAX = 2;
const QUESTION_PAUSE_MS = 5_000;

/** Watches until it is ended; its signal aborts with OperatingError "stalled". */
export class ContentsWatch implements Disposable {
  readonly #relay: Relay;
  readonly #stalled = new AbortController();
  readonly #pgDump: StallWatch;
  #server: StallWatch;
  #hasEnded = false;

  constructor(relay: Relay) {
    this.#relay = relay;
    this.#pgDump = new StallWatch({
      limitMs: PG_DUMP_SILENCE_MS,
      isWaiting: () => !relay.isExchanging,
      progress: () => relay.exchangeCount,
      onStall: () => this.#stalled.abort(pgDumpStalled()),
    });
    this.#server = this.#watchServer();
  }

  get stalled(): AbortSignal {
    return this.#stalled.signal;
  }

  [Symbol.dispose](): void {
    this.#hasEnded = true;
    this.#pgDump.end();
    this.#server.end();
  }

  #watchServer(): StallWatch {
    const relay = this.#relay;
    return new StallWatch({
      limitMs: SERVER_SILENCE_MS,
      isWaiting: () => relay.isExchanging,
      progress: () => relay.exchangeCount + relay.connection.socket.bytesRead,
      onStall: () => void this.#ask(),
    });
  }

  async #ask(): Promise<void> {
    const { exchangeCount } = this.#relay;
    const objection = await objectionTo(this.#relay);
    if (this.#hasEnded) return;
    const hasMoved = this.#relay.exchangeCount !== exchangeCount || !this.#relay.isExchanging;
    if (objection === null || hasMoved) this.#server = this.#watchServer();
    else this.#stalled.abort(serverStalled(objection));
  }
}

/** Why nothing more is to be expected of the server process that pg_dump waits for; null when that cannot be said. */
async function objectionTo(relay: Relay): Promise<string | null> {
  let objection: string | null = null;
  for (let count = 1; count <= QUESTION_COUNT_MAX; count += 1) {
    if (count > 1) await delay(QUESTION_PAUSE_MS, undefined, { ref: false });
    objection = await askOnce(relay);
    if (objection === null) return null;
  }
  return objection;
}

async function askOnce({ connection }: Relay): Promise<string | null> {
  try {
    await using session = await openSession(connection.settings, { applicationName: "cairn" });
    const timer = setTimeout(() => session.destroy(), QUESTION_TIMEOUT_MS);
    try {
      const query = `SELECT state FROM pg_catalog.pg_stat_activity WHERE pid = ${connection.processId}`;
      const { value: state } = await session.query(query);
      // Behind a pooler the process id is made up, and some servers do not track what is done: nothing can be said then.
      return state === null || !state.startsWith("idle") ? null : `It says that the session is ${state}.`;
    } finally {
      clearTimeout(timer);
    }
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    // A server that refuses is there: e.g. it has no free connection slot.
    return error.sqlState === undefined ? `A second connection failed: ${error.message}.` : null;
  }
}

function pgDumpStalled(): OperatingError {
  return new OperatingError("stalled", `pg_dump asked and wrote nothing for ${formatDuration(PG_DUMP_SILENCE_MS)}`, {
    hint: "Look at the machine's memory and processor; another pg_dump can be named with --pg-dump.",
    retryable: true,
  });
}

function serverStalled(detail: string): OperatingError {
  return new OperatingError("stalled", `the server gave pg_dump no answer for ${formatDuration(SERVER_SILENCE_MS)}`, {
    detail,
    hint: "Look at the server's log and at the network in between.",
    retryable: true,
  });
}
