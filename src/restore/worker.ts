// One connection of a restore: knows what its session is set to, sends the statements of entries, and collects their
// errors as pg_restore does: it goes on after them.
// Source: pg_backup_archiver.c (18), _becomeUser, _selectOutputSchema, _selectTablespace, _selectTableAccessMethod.

import { quoteIdentifier, quoteLiteral, ServerError, type Session } from "../postgres/index.ts";
import { entryError, type EntryError } from "./result.ts";
import type { EntrySettings, RestoreStatement } from "./statements.ts";

/** Statements sent at once when a list of them has one form (one for each large object). */
const BATCH_COUNT_MAX = 500;

/** Times a statement is sent again after it was ended to resolve a deadlock. */
const DEADLOCK_RETRIES_MAX = 5;
const DEADLOCK_SQL_STATE = "40P01";

/** A connection and the state of its session. */
export class RestoreWorker {
  readonly index: number;
  readonly session: Session;
  readonly signal: AbortSignal;
  #user: string | null = null;
  #schema: string | null = null;
  #tablespace: string | null = null;
  #accessMethod: string | null = null;

  constructor(index: number, session: Session, signal: AbortSignal) {
    this.index = index;
    this.session = session;
    this.signal = signal;
  }

  /** Runs a statement that must not fail; returns its command tag. */
  async run(sql: string | Uint8Array): Promise<string> {
    return (await this.session.query(sql, { signal: this.signal })).command;
  }

  /**
   * Runs a statement; an error of the server is added to `errors`. True when it succeeded. The victim of a deadlock is
   * sent again: connections take locks that the archive says nothing of (ATTACH PARTITION of an index against the check
   * of a foreign key), and outside of a transaction nothing of the statement is left.
   */
  async attempt(sql: string, during: string, errors: EntryError[]): Promise<boolean> {
    for (let retriesLeft = DEADLOCK_RETRIES_MAX; ; retriesLeft -= 1) {
      try {
        await this.run(sql);
        return true;
      } catch (error) {
        if (!isServerAnswer(error)) throw error;
        const isVictim = error.sqlState === DEADLOCK_SQL_STATE && this.session.transactionStatus === "idle";
        if (isVictim && retriesLeft > 0) continue;
        errors.push(entryError(error, during, sql));
        return false;
      }
    }
  }

  /**
   * Runs the statements of an entry, each whatever became of those before. With `mayBatch`, a long list of definitions
   * goes in batches, and one by one only where a batch fails.
   */
  async attemptAll(statements: readonly RestoreStatement[], mayBatch: boolean, errors: EntryError[]): Promise<void> {
    if (!mayBatch || statements.length < 2) {
      for (const { sql, purpose } of statements) await this.attempt(sql, purpose, errors);
      return;
    }
    for (let start = 0; start < statements.length; start += BATCH_COUNT_MAX) {
      const batch = statements.slice(start, start + BATCH_COUNT_MAX);
      if (await this.attempt(batch.map((statement) => statement.sql).join("\n"), "batch", [])) continue;
      for (const { sql, purpose } of batch) await this.attempt(sql, purpose, errors);
    }
  }

  /** Sets the session to what an entry wants. */
  async apply(settings: EntrySettings, errors: EntryError[]): Promise<void> {
    if (settings.owner !== null) await this.becomeUser(settings.owner);
    const during = "session setting";
    if (settings.schema !== null && settings.schema !== this.#schema) {
      const others = settings.schema === "pg_catalog" ? "" : ", pg_catalog";
      await this.attempt(`SET search_path = ${quoteIdentifier(settings.schema)}${others};`, during, errors);
      this.#schema = settings.schema;
    }
    if (settings.tablespace !== null && settings.tablespace !== this.#tablespace) {
      const value = settings.tablespace === "" ? "''" : quoteIdentifier(settings.tablespace);
      await this.attempt(`SET default_tablespace = ${value};`, during, errors);
      this.#tablespace = settings.tablespace;
    }
    if (settings.tableAccessMethod !== null && settings.tableAccessMethod !== this.#accessMethod) {
      const method = quoteIdentifier(settings.tableAccessMethod);
      await this.attempt(`SET default_table_access_method = ${method};`, during, errors);
      this.#accessMethod = settings.tableAccessMethod;
    }
  }

  /** Changes the session user; "" is the user that logged in. An error ends the restore, as in pg_restore. */
  async becomeUser(user: string): Promise<void> {
    if (user === this.#user) return;
    await this.run(`SET SESSION AUTHORIZATION ${user === "" ? "DEFAULT" : quoteLiteral(user)};`);
    this.#user = user;
  }

  /** After privileges, which may set the session user themselves. */
  forgetUser(): void {
    this.#user = null;
  }

  /** After schemas were dropped. */
  forgetSchema(): void {
    this.#schema = null;
  }
}

/** True for an error that the server reported and after which the session goes on. */
export function isServerAnswer(error: unknown): error is ServerError {
  return error instanceof ServerError;
}
