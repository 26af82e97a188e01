// What a restore into a scratch database has done, written down in that database as it goes on: an entry's record and its
// statements are one transaction, so that after an interruption each entry is known to be done or not to have been begun.
// Only a table that several connections load is recorded after they have committed: not recorded, it is emptied first.
//
//   origin          one row: what is restored, and a fingerprint of the plan
//   entry           by dump id: rows and bytes of its data, or its errors as JSON
//   unlogged_entry  the same ids; a crash of the server empties it together with every unlogged table

import { createHash } from "node:crypto";
import type { Toc } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { quoteIdentifier, quoteLiteral, type Session } from "../postgres/index.ts";
import type { RestorePlan, RestoreTask } from "./plan.ts";
import type { EntryError } from "./result.ts";
import type { TaskOutcomeReport } from "./run-task.ts";

const SCHEMA_NAME = "cairn_restore";

/** Key of the advisory lock that every session of a restore shares; the letters "cairn". */
const LOCK_KEY = 0x63_61_69_72_6e;

/** How long sessions of an interrupted restore may take to notice that nobody is there any more. */
const LOCK_WAIT_MS = 30_000;

/** How often a busy server looks whether we are still there. Source: PostgreSQL manual, client_connection_check_interval. */
const CLIENT_CHECK_MS = 2000;
const CLIENT_CHECK_SINCE = 140_000;

/** What is restored: two restores of equal origin do the same. */
export interface RestoreIdentity {
  /** For people: the restore point's ID, or the archive's database and time. */
  readonly origin: string;
  readonly fingerprint: string;
}

/** Rows and bytes of an entry's data. */
interface DataFacts {
  readonly rows: number;
  readonly sizeBytes: number;
}

/** The identity of a plan. Jobs do not count: a restore may go on with more or fewer connections. */
export function identifyRestore(
  plan: RestorePlan,
  { header }: Toc,
  sizes: ReadonlyMap<number, number>,
  restorePointId: string | null,
): RestoreIdentity {
  const { createdAt, databaseName, serverVersion, pgDumpVersion } = header;
  const tasks = [...plan.serial, ...plan.parallel].filter((task) => task.isWanted);
  const described = tasks
    .toSorted((one, other) => one.entry.dumpId - other.entry.dumpId)
    .map(({ entry, statements, load }) => [
      entry.dumpId,
      statements.map(({ sql }) => sql),
      load?.kind,
      entry.copyStatement,
      load === null ? null : sizes.get(entry.dumpId),
    ]);
  const all = [restorePointId, createdAt, databaseName, serverVersion, pgDumpVersion];
  const text = JSON.stringify([all, plan.sessionStatements, plan.preparation, described]);
  const date = [createdAt.yearsSince1900 + 1900, createdAt.month + 1, createdAt.monthDay];
  const [day, time] = [date, [createdAt.hour, createdAt.minute, createdAt.second]].map((parts) =>
    parts.map((part) => String(part).padStart(2, "0")),
  ) as [string[], string[]];
  return {
    origin: restorePointId ?? `archive of "${databaseName}" made ${day.join("-")} ${time.join(":")}`,
    fingerprint: createHash("sha256").update(text).digest("hex"),
  };
}

/** The schema of the record: a name that the archive does not have. */
export function recordSchemaOf(toc: Toc): string {
  const taken = new Set(toc.entries.flatMap(({ namespace, tag }) => [namespace, tag]));
  let name = SCHEMA_NAME;
  for (let number = 2; taken.has(name); number += 1) name = `${SCHEMA_NAME}_${number}`;
  return name;
}

/** The record of one restore. Its session is in the scratch database, and open while the restore runs. */
export class RestoreRecord {
  readonly #session: Session;
  readonly #schema: string;
  readonly #taken = new Map<number, TaskOutcomeReport>();

  readonly #lockWaitMs: number;

  constructor(session: Session, schemaName: string, lockWaitMs = LOCK_WAIT_MS) {
    this.#lockWaitMs = lockWaitMs;
    this.#session = session;
    this.#schema = quoteIdentifier(schemaName);
  }

  /** Entries that an earlier run has done or failed at. */
  get takenCount(): number {
    return this.#taken.size;
  }

  /** Begins a record in a database that is empty. */
  async begin({ origin, fingerprint }: RestoreIdentity): Promise<void> {
    await this.watch(this.#session);
    await this.#session.query(`CREATE SCHEMA ${this.#schema};
      CREATE TABLE ${this.#schema}.origin (origin text NOT NULL, fingerprint text NOT NULL);
      CREATE TABLE ${this.#schema}.entry (dump_id int8 PRIMARY KEY, rows int8, size_bytes int8, errors text);
      CREATE UNLOGGED TABLE ${this.#schema}.unlogged_entry (dump_id int8 PRIMARY KEY);
      INSERT INTO ${this.#schema}.origin VALUES (${quoteLiteral(origin)}, ${quoteLiteral(fingerprint)});`);
  }

  /**
   * Takes up what an earlier run has left: waits for its sessions to end, and empties what it has loaded in part. False
   * when there is no record. Throws "locked" while somebody is at work, "usage" for another restore's record.
   */
  async takeUp(plan: RestorePlan, identity: RestoreIdentity): Promise<boolean> {
    await this.#waitForOthers();
    const there = await this.#session.query(
      `SELECT pg_catalog.to_regclass(${quoteLiteral(`${this.#schema}.origin`)}) IS NOT NULL;`,
    );
    if (there.value !== "t") return false;
    const { rows } = await this.#session.query(`SELECT origin, fingerprint FROM ${this.#schema}.origin;`);
    refuseOther(rows[0] ?? [], identity);
    await this.#read(plan);
    await this.#emptyPartlyLoaded(plan);
    return true;
  }

  /** What an earlier run has made of a task; null when it is to be done. */
  outcomeOf(task: RestoreTask): TaskOutcomeReport | null {
    return this.#taken.get(task.entry.dumpId) ?? null;
  }

  /** Belongs into the transaction of the entry. */
  doneStatement(dumpId: number, data?: DataFacts): string {
    return (
      `INSERT INTO ${this.#schema}.entry VALUES (${dumpId}, ${data?.rows ?? "NULL"}, ${data?.sizeBytes ?? "NULL"}); ` +
      `INSERT INTO ${this.#schema}.unlogged_entry VALUES (${dumpId});`
    );
  }

  /** Belongs into the transaction of what succeeded of the entry. A failed entry is not tried again. */
  failedStatement(dumpId: number, errors: readonly EntryError[]): string {
    const text = quoteLiteral(JSON.stringify(errors).replaceAll("\\u0000", ""));
    return (
      `INSERT INTO ${this.#schema}.entry VALUES (${dumpId}, NULL, NULL, ${text}); ` +
      `INSERT INTO ${this.#schema}.unlogged_entry VALUES (${dumpId});`
    );
  }

  /** Makes a session known as one of this restore, so that nobody takes it up meanwhile. */
  async watch(session: Session): Promise<void> {
    if (session.serverVersion.number >= CLIENT_CHECK_SINCE) {
      // Not on every system; without it a session that builds an index ends when the index is built.
      await session.query(`SET client_connection_check_interval = ${CLIENT_CHECK_MS};`).catch((error: unknown) => {
        if (!session.isConnected) throw error;
      });
    }
    await session.query(`SELECT pg_catalog.pg_advisory_lock_shared(${LOCK_KEY});`);
  }

  /** Removes the record: the restore is over. */
  async remove(): Promise<void> {
    await this.#session.query(`DROP SCHEMA ${this.#schema} CASCADE;`);
  }

  /** Closes the session that the record is in. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  async #waitForOthers(): Promise<void> {
    const session = this.#session;
    try {
      await session.query(`SET lock_timeout = ${this.#lockWaitMs}; SELECT pg_catalog.pg_advisory_lock(${LOCK_KEY});`);
    } catch (error) {
      if (!session.isConnected) throw error;
      const { rows } = await session.query(
        `SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_catalog.pg_backend_pid()
           AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());`,
      );
      const pids = rows.map(([pid]) => pid).join(", ");
      throw new OperatingError("locked", `a restore into "${session.settings.database}" is at work`, {
        detail: `Its server processes: ${pids}.`,
        hint: "Wait for its end. If its cairn is dead, end them: SELECT pg_terminate_backend(PID);",
        cause: error,
      });
    }
    await this.watch(session);
    await session.query(`SET lock_timeout = 0; SELECT pg_catalog.pg_advisory_unlock(${LOCK_KEY});`);
  }

  async #read(plan: RestorePlan): Promise<void> {
    const { rows } = await this.#session.query(
      `SELECT e.dump_id, e.rows, e.size_bytes, e.errors, u.dump_id IS NOT NULL
         FROM ${this.#schema}.entry e LEFT JOIN ${this.#schema}.unlogged_entry u USING (dump_id);`,
    );
    const tasks = new Map([...plan.serial, ...plan.parallel].map((task) => [task.entry.dumpId, task]));
    const lost: number[] = [];
    const unlogged = await this.#unloggedRelations();
    for (const [dumpId, rowCount, sizeBytes, errors, survived] of rows) {
      const task = tasks.get(Number(dumpId));
      if (task === undefined) continue;
      if (survived !== "t" && isContentOf(unlogged, task)) lost.push(Number(dumpId));
      else this.#taken.set(Number(dumpId), outcomeOf(task, { rowCount, sizeBytes, errors }));
    }
    await this.#forget(lost);
  }

  /** Names, as entries have them, of what a crash of the server empties. */
  async #unloggedRelations(): Promise<ReadonlySet<string>> {
    const { rows } = await this.#session.query(
      `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm', 'S');`,
    );
    return new Set(rows.map(([schema, name]) => JSON.stringify([schema, name])));
  }

  async #forget(dumpIds: readonly number[]): Promise<void> {
    if (dumpIds.length === 0) return;
    await this.#session.query(`DELETE FROM ${this.#schema}.entry WHERE dump_id IN (${dumpIds.join(", ")});`);
  }

  async #emptyPartlyLoaded(plan: RestorePlan): Promise<void> {
    const tables = [...plan.serial, ...plan.parallel].flatMap(({ entry, isWanted, load }) =>
      isWanted && load?.kind === "copy" && !load.throughRoot && !this.#taken.has(entry.dumpId) ? [load.table] : [],
    );
    if (tables.length === 0) return;
    const names = tables.map((table) => quoteLiteral(table)).join(", ");
    const { rows } = await this.#session.query(
      `SELECT name FROM pg_catalog.unnest(ARRAY[${names}]::pg_catalog.text[]) AS t (name)
         WHERE pg_catalog.pg_relation_size(pg_catalog.to_regclass(name)) OPERATOR(pg_catalog.>) 0;`,
    );
    for (const [table] of rows) await this.#session.query(`TRUNCATE TABLE ONLY ${table};`);
  }
}

function refuseOther([origin, fingerprint]: readonly (string | null)[], identity: RestoreIdentity): void {
  if (origin === identity.origin && fingerprint === identity.fingerprint) return;
  const isSame = origin === identity.origin;
  throw new OperatingError("usage", `the interrupted restore is not this one: it is of ${origin ?? "nothing"}`, {
    detail: isSame
      ? "Its tables, its options or the version of Cairn were others."
      : `This one is of ${identity.origin}.`,
    hint: "Say what was said then, or drop that database and begin again.",
  });
}

/** What an entry fills is unlogged: a table's rows, a sequence's value, a materialized view's contents. */
function isContentOf(unlogged: ReadonlySet<string>, { entry, load }: RestoreTask): boolean {
  const isContent =
    load !== null || entry.description === "SEQUENCE SET" || entry.description === "MATERIALIZED VIEW DATA";
  return isContent && unlogged.has(JSON.stringify([entry.namespace, entry.tag]));
}

function outcomeOf(
  { entry, load }: RestoreTask,
  recorded: Readonly<Record<"rowCount" | "sizeBytes" | "errors", string | null | undefined>>,
): TaskOutcomeReport {
  const errors = JSON.parse(recorded.errors ?? "[]") as readonly EntryError[];
  const count = Number(recorded.rowCount ?? 0);
  const isTable = load !== null && load.kind !== "large-objects" && errors.length === 0;
  const rows = { dumpId: entry.dumpId, namespace: entry.namespace, table: entry.tag, rows: count };
  return {
    errors,
    isCreated: errors.every((error) => error.during !== "definition"),
    rows: isTable
      ? { ...rows, sizeBytes: Number(recorded.sizeBytes ?? 0), expectedRows: null, connectionCount: 0 }
      : null,
    largeObjectCount: load?.kind === "large-objects" ? count : 0,
  };
}
