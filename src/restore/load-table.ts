// The rows of one table into the target: in one COPY and one transaction, or in several COPYs over several connections
// that commit only when all of them have all rows. A table holds all its rows or none.
// Source: pg_backup_archiver.c (18), restore_toc_entry.

import type { ArchiveContents } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { freeBuffer } from "../base/free-buffer.ts";
import type { CopyInWriter } from "../postgres/index.ts";
import { firstTransaction, hasCommitted, type FirstTransaction } from "./first-transaction.ts";
import { PieceFeeder } from "./piece-feeder.ts";
import type { DataLoad, RestoreTask } from "./plan.ts";
import type { TableRows } from "./result.ts";
import type { RestoreWorker } from "./worker.ts";

/** The end of every COPY statement that pg_dump writes. */
const FROM_STDIN = / FROM stdin;\n$/;

type CopyLoad = Extract<DataLoad, { readonly kind: "copy" }>;

/** How a table is loaded. */
export interface TableLoadOptions {
  /** The load is a part of a transaction that somebody else ends. */
  readonly isInTransaction: boolean;
  /**
   * The table was made by this run and is empty: after a TRUNCATE in the same transaction its rows go in frozen, and
   * without WAL where wal_level is minimal.
   */
  readonly freezes: boolean;
  /** Other connections may join. Not together with `freezes`, which locks them out. */
  readonly mayBeShared: boolean;
  /** Said when the rows are there, in their transaction if it is one; "" says nothing. */
  readonly recordStatement: (data: { readonly rows: number; readonly sizeBytes: number }) => string;
  readonly onData: (worker: RestoreWorker, sizeBytes: number) => void;
  /** More pieces are waiting: another connection might join. */
  readonly onWork: () => void;
}

/** How the others end: as said, or as the transaction of the first one turns out to have ended. */
type Decision = "commit" | "roll back" | FirstTransaction;

/** The load of one table, which other connections may join while it runs. */
export class TableLoad {
  readonly task: RestoreTask;
  readonly #load: CopyLoad;
  readonly #options: TableLoadOptions;
  readonly #feeder: PieceFeeder;
  /** Connections that copy or wait to commit. */
  readonly #copies: Promise<number>[] = [];
  #decision = Promise.withResolvers<Decision>();
  #isCommitting = false;
  #sizeBytes = 0;
  /** A commit that failed after others had succeeded. */
  #commitFailure: { readonly error: unknown } | null = null;
  readonly #ends: Promise<void>[] = [];

  constructor(task: RestoreTask, load: CopyLoad, contents: ArchiveContents, options: TableLoadOptions) {
    this.task = task;
    this.#load = load;
    this.#options = options;
    this.#feeder = new PieceFeeder((signal) => contents.tableData(task.entry, signal), options.onWork);
  }

  get dumpId(): number {
    return this.task.entry.dumpId;
  }

  /** True when another connection may join now. */
  get mayBeJoined(): boolean {
    return !this.#isCommitting && this.#options.mayBeShared && !this.#feeder.isDrained;
  }

  /** True when pieces wait for another connection. */
  get hasWaiting(): boolean {
    return this.#feeder.hasWorkForAnother;
  }

  get connectionCount(): number {
    return Math.max(1, this.#copies.length);
  }

  /** Bytes of COPY text that all connections have sent. */
  get sentBytes(): number {
    return this.#sizeBytes;
  }

  /** Loads the table, with the help of whoever joins. Throws what went wrong; then the table is as it was before. */
  async run(worker: RestoreWorker): Promise<TableRows> {
    let first: FirstTransaction | null = null;
    try {
      this.#copies.push(this.#copy(worker, true));
      const rows = await this.#settleCopies();
      this.#checkRows(rows);
      this.#isCommitting = true;
      // The first commit decides: when it fails, the others roll back.
      const record = this.#options.recordStatement({ rows, sizeBytes: this.#sizeBytes });
      const isAlone = this.#copies.length === 1;
      if (!isAlone) first = await firstTransaction(worker);
      await this.#end(worker, true, isAlone ? record : "");
      this.#decision.resolve("commit");
      await Promise.all(this.#ends);
      if (this.#commitFailure !== null) throw this.#commitFailure.error;
      if (!isAlone && record !== "") await worker.run(record);
      const { entry } = this.task;
      return {
        dumpId: entry.dumpId,
        namespace: entry.namespace,
        table: entry.tag,
        rows,
        sizeBytes: this.#sizeBytes,
        expectedRows: this.#feeder.expectedRows,
        connectionCount: this.#copies.length,
      };
    } catch (error) {
      const mayBeCommitted = this.#isCommitting && this.#ends.length > 0;
      // Lost at its COMMIT: only the server knows whether these rows stand.
      const isOpen = first !== null && !worker.session.isConnected;
      await this.abandon(error, isOpen ? (first as FirstTransaction) : "roll back");
      await this.#end(worker, false);
      if (mayBeCommitted && worker.session.isConnected) await this.#undoCommits(worker);
      throw error;
    } finally {
      await this.#feeder.close();
    }
  }

  /** Takes pieces over another connection until none are left, then commits or rolls back with the others. */
  async join(worker: RestoreWorker): Promise<void> {
    const copy = this.#copy(worker, false);
    this.#copies.push(copy);
    copy.catch((error: unknown) => this.#feeder.fail(error));
    const end = this.#endWithOthers(worker, copy);
    this.#ends.push(end);
    await end;
  }

  /** Rolls back, in place of run() or at its failure: whoever has joined gives up with this error. */
  async abandon(error: unknown, decision: Decision = "roll back"): Promise<void> {
    this.#isCommitting = true;
    this.#feeder.fail(error);
    this.#decision.resolve(decision);
    await Promise.allSettled([...this.#copies, ...this.#ends]);
    await this.#feeder.close();
  }

  /** Stops the load: it fails with this error and rolls back. */
  stop(error: unknown): void {
    if (!this.#isCommitting) this.#feeder.fail(error);
  }

  async #endWithOthers(worker: RestoreWorker, copy: Promise<number>): Promise<void> {
    await copy.catch(() => {});
    const decision = await this.#decision.promise;
    try {
      const commits = typeof decision === "string" ? decision === "commit" : await hasCommitted(worker, decision);
      await this.#end(worker, commits);
    } catch (error) {
      if (decision !== "roll back") this.#commitFailure ??= { error };
    }
  }

  async #copy(worker: RestoreWorker, isFirst: boolean): Promise<number> {
    const { session } = worker;
    // One round trip: the server goes through the statements until COPY asks for data.
    const begin = this.#options.isInTransaction ? "" : "BEGIN; ";
    const { copyStatement, table } = this.#load;
    const frozen = copyStatement.replace(FROM_STDIN, " FROM stdin WITH (FREEZE);\n");
    const freezes = isFirst && this.#options.freezes && frozen !== copyStatement;
    const statement = begin + (freezes ? `TRUNCATE TABLE ONLY ${table}; ${frozen}` : copyStatement);
    const copy = await session.copyIn(statement, { signal: worker.signal });
    try {
      let sent: Promise<void> = Promise.resolve();
      for (;;) {
        const bytes = await this.#feeder.take(copy);
        if (bytes === null) break;
        // The next piece stands in line while this one goes out, so that the server never waits for us.
        await sent;
        sent = this.#send(worker, copy, bytes);
        sent.catch(() => {}); // comes out when it is awaited
      }
      await sent;
    } catch (error) {
      await copy.fail("the data could not be read or another connection failed");
      throw error;
    }
    return (await copy.finish()).rowCount ?? 0;
  }

  async #send(worker: RestoreWorker, copy: CopyInWriter, bytes: Uint8Array): Promise<void> {
    const sizeBytes = bytes.length;
    await copy.write(bytes);
    freeBuffer(bytes);
    this.#sizeBytes += sizeBytes;
    this.#options.onData(worker, sizeBytes);
  }

  /** Rows of all copies, those that join meanwhile too. */
  async #settleCopies(): Promise<number> {
    let rows = 0;
    for (let index = 0; index < this.#copies.length; index += 1) rows += (await this.#copies[index]) as number;
    return rows;
  }

  #checkRows(rows: number): void {
    const expected = this.#feeder.expectedRows;
    if (expected === null || expected === rows) return;
    throw new OperatingError("restore_incomplete", `table has ${rows} rows after loading, not ${expected}`, {
      detail: "A trigger or rule of the target may have dropped rows, or the source is damaged.",
      hint: "The rows were taken back. Restore into a new database, or disable the triggers.",
    });
  }

  async #end(worker: RestoreWorker, commits: boolean, before = ""): Promise<void> {
    if (this.#options.isInTransaction) return;
    if (commits) {
      // A COMMIT of a failed transaction is answered by ROLLBACK, without an error.
      if ((await worker.run(`${before}COMMIT;`)) === "ROLLBACK")
        throw new OperatingError("query_failed", "the transaction was rolled back");
    } else if (worker.session.isConnected) {
      await worker.session.query("ROLLBACK;");
    }
  }

  /** Also when the restore is being cancelled: a part of a table must not stay. */
  async #undoCommits(worker: RestoreWorker): Promise<void> {
    await worker.session.query(`TRUNCATE TABLE ONLY ${this.#load.table};`);
  }
}
