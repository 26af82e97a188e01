// The way to the source, which needs nothing of the repository: it is settled, the session is opened that lives as long as the
// run, and its dump is opened. All of it goes on while the passphrase becomes a key, which takes about as long.

import type { Dump } from "../../dump/index.ts";
import type { OperationContext } from "../operation.ts";
import { openSourceDump } from "../source/open-source.ts";
import { settleSource, type SettledSource } from "../source/settle-source.ts";
import { READING_DEFAULTS, ServerLife } from "./incremental/index.ts";
import type { BackupSettings } from "./types.ts";

/** See the head of this file. Dispose of it when the run has ended: what is under way is ended, what is open is closed. */
export class Approach implements AsyncDisposable {
  readonly startedAt = new Date();
  readonly source: Promise<SettledSource>;
  /** Begun before the snapshot's LSN is read. */
  readonly life: Promise<ServerLife>;
  readonly dump: Promise<Dump>;
  readonly #ended: AbortController;

  private constructor(context: OperationContext, settings: BackupSettings, ended: AbortController) {
    const reading = settings.reading ?? READING_DEFAULTS;
    this.#ended = ended;
    this.source = settleSource(context, settings);
    this.life = this.source.then((source) => ServerLife.begin(context, source, reading));
    this.dump = Promise.all([this.source, this.life]).then(([source, life]) => {
      return openSourceDump(context, source, (holderProcessId) => life.seeLocked(holderProcessId));
    });
    for (const step of [this.source, this.life, this.dump]) step.catch(() => {}); // thrown where they are awaited
  }

  /** Begins at once. Throws nothing: what fails is thrown where it is awaited. */
  static begin(context: OperationContext, settings: BackupSettings): Approach {
    const ended = new AbortController();
    const signal = AbortSignal.any([context.signal, ended.signal]);
    return new Approach({ ...context, signal }, settings, ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    const dump = await this.dump.catch(() => null);
    await dump?.[Symbol.asyncDispose]();
    const life = await this.life.catch(() => null);
    await life?.[Symbol.asyncDispose]();
  }
}
