// The transactions that span several entries: one around all (--single-transaction), or one for every so many objects
// (--transaction-size). Counts as pg_restore does: an entry is one, and so is each further statement in its definition.
// Source: pg_backup_archiver.c (18), restore_toc_entry, _printTocEntry.

import type { TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { isDatabase } from "./entry-kinds.ts";
import type { RestoreOptions } from "./options.ts";
import type { RestoreTask } from "./plan.ts";
import type { RestoreWorker } from "./worker.ts";

export class TransactionBatches {
  /** True when a transaction is open while serial tasks run. */
  readonly isUsed: boolean;
  readonly #sizeMax: number | null;
  #count = 0;

  constructor(options: RestoreOptions) {
    this.#sizeMax = options.transactionSize ?? null;
    this.isUsed = options.singleTransaction === true || this.#sizeMax !== null;
  }

  async begin(worker: RestoreWorker): Promise<void> {
    if (!this.isUsed) return;
    await worker.run("BEGIN;");
    this.#count = 0;
  }

  /** Commits what is open. Throws OperatingError when the server took it back instead. */
  async end(worker: RestoreWorker): Promise<void> {
    if (!this.isUsed) return;
    if ((await worker.run("COMMIT;")) === "ROLLBACK") {
      throw new OperatingError("query_failed", "the transaction was rolled back");
    }
  }

  async afterTask(worker: RestoreWorker, task: RestoreTask): Promise<void> {
    const kind = task.entry.description;
    const isRoutine = kind === "FUNCTION" || kind === "PROCEDURE";
    const definitions = task.statements.filter((statement) => statement.purpose === "definition");
    let count = 1;
    if (kind === "BLOB METADATA") count += task.statements.length;
    else if (!isRoutine) for (const { sql } of definitions) count += Math.max(sql.split(";").length - 2, 0);
    await this.#advance(worker, count);
  }

  /** A database cannot be dropped inside a transaction. */
  async beforeDrop(worker: RestoreWorker, entry: TocEntry): Promise<void> {
    if (this.#sizeMax !== null && isDatabase(entry)) await this.end(worker);
  }

  async afterDrop(worker: RestoreWorker, entry: TocEntry): Promise<void> {
    if (this.#sizeMax !== null && isDatabase(entry)) await this.begin(worker);
    else await this.#advance(worker, 1);
  }

  async #advance(worker: RestoreWorker, count: number): Promise<void> {
    if (this.#sizeMax === null) return;
    this.#count += count;
    if (this.#count < this.#sizeMax) return;
    await this.end(worker);
    await this.begin(worker);
  }
}
