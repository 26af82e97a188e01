// A server of its own for random histories: its sessions, and what can happen to it as a whole: stop, crash, its data
// folder copied, put back, or exchanged for a clone. Tablespaces stand inside the data folder, so a copy is whole.

import { rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { openSession, resolveConnection, type Session } from "../../../src/postgres/index.ts";
import { ownServer, runAsServerUser, type Major, type OwnServer, type TestServer } from "../../support/servers.ts";
import { SCHEMA, TABLESPACE_STATEMENTS } from "./tables.ts";

export const DATABASE = "model";

/** Nobody waits for a lock: the statement fails and the history goes on with another one. */
const LOCK_TIMEOUT_MS = 6;

const SERVER_SETTINGS = {
  allow_in_place_tablespaces: "on",
  // Commits that nobody waits for stay in memory until somebody else flushes: a crash loses them.
  wal_writer_delay: "10s",
  wal_level: "replica",
  autovacuum_naptime: "1s",
  autovacuum_vacuum_threshold: "30",
  max_prepared_transactions: "20",
  shared_buffers: "16MB",
  min_wal_size: "4MB",
  max_wal_size: "512MB",
  log_min_messages: "error",
  log_line_prefix: "%a ",
};

/**
 * The first transaction id after 2^32 has no file in pg_xact until it is given away, and a server that ends before that
 * does not start again ("could not access status of transaction 3", PostgreSQL 18). So it is given away, durably.
 */
const LEAVE_FIRST_ID = `SET synchronous_commit TO on;
  SELECT CASE WHEN age BETWEEN 0 AND 1000 THEN pg_catalog.pg_current_xact_id() END
    FROM (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric - 4294967296) AS next (age)`;

export class World implements AsyncDisposable {
  readonly server: OwnServer;
  readonly major: Major;
  /** What was done how often, of what may be refused. */
  readonly done = new Map<string, number>();
  #sessions = new Map<string, Session>();

  private constructor(server: OwnServer) {
    this.server = server;
    this.major = server.major;
  }

  /** Starts a server with an empty database; `settings` win over the model's own. */
  static async open(major: Major, settings: Readonly<Record<string, string>> = {}): Promise<World> {
    const server = await ownServer(major, {
      settings: { ...SERVER_SETTINGS, ...settings },
      initdbArguments: ["--wal-segsize=1", "--data-checksums"],
    });
    const world = new World(server);
    try {
      await server.psql("postgres", `${TABLESPACE_STATEMENTS.join(";\n")}; CREATE DATABASE ${DATABASE}`);
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The same with the model's tables in it. */
  static async openFilled(major: Major, settings: Readonly<Record<string, string>> = {}): Promise<World> {
    const world = await World.open(major, settings);
    await world.server.psql(DATABASE, SCHEMA);
    return world;
  }

  /** A session of that name, opened when there is none. */
  async session(name: string, database = DATABASE): Promise<Session> {
    const known = this.#sessions.get(name);
    if (known?.isConnected) return known;
    const session = await connect(this.server, database, name);
    await session.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}; SET client_min_messages = error`);
    this.#sessions.set(name, session);
    return session;
  }

  /** One statement; false when the server refused it. Failed transactions are rolled back. */
  async tries(name: string, sql: string): Promise<boolean> {
    const session = await this.session(name);
    try {
      await session.query(sql);
      return true;
    } catch (error) {
      if (!session.isConnected) throw error;
      if (session.transactionStatus === "failed") await session.query("ROLLBACK");
      return false;
    }
  }

  /** Whether that session has a transaction open. */
  isOpen(name: string): boolean {
    const session = this.#sessions.get(name);
    return session !== undefined && session.isConnected && session.transactionStatus === "transaction";
  }

  /** Names of prepared transactions. */
  async prepared(): Promise<string[]> {
    const control = await this.session("control");
    const { rows } = await control.query("SELECT gid FROM pg_catalog.pg_prepared_xacts ORDER BY gid");
    return rows.map((row) => row[0]!);
  }

  async closeSessions(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map((session) => session.close()));
  }

  async stop(how: "fast" | "immediate"): Promise<void> {
    await this.server.psql("postgres", LEAVE_FIRST_ID);
    if (how === "fast") await this.closeSessions();
    await this.server.stop(how);
    for (const session of this.#sessions.values()) session.destroy();
    this.#sessions.clear();
  }

  async start(): Promise<void> {
    await writeFile(this.server.logFile, ""); // what the last stop wrote there is not this start's failure
    await this.server.start();
  }

  async restart(how: "fast" | "immediate"): Promise<void> {
    await this.stop(how);
    await this.start();
  }

  /** Copies the data folder of the stopped server. */
  async keepCopy(name: string): Promise<void> {
    await rm(this.#copy(name), { recursive: true, force: true });
    await runAsServerUser("cp", ["-a", "--reflink=auto", this.server.dataDirectory, this.#copy(name)]);
  }

  /** Puts a copy in the place of the stopped server's data folder; the copy stays. */
  async putBack(name: string): Promise<void> {
    await rm(this.server.dataDirectory, { recursive: true });
    await runAsServerUser("cp", ["-a", "--reflink=auto", this.#copy(name), this.server.dataDirectory]);
  }

  /** Exchanges the stopped server's data folder with a copy. */
  async exchange(name: string): Promise<void> {
    const aside = `${this.#copy(name)}-aside`;
    await rename(this.server.dataDirectory, aside);
    await rename(this.#copy(name), this.server.dataDirectory);
    await rename(aside, this.#copy(name));
  }

  /** Runs one of PostgreSQL's programs as the server's user. */
  runProgram(name: string, programArguments: readonly string[]): Promise<string> {
    return runAsServerUser(join(this.server.tools.binDirectory, name), programArguments);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) session.destroy();
    await this.server[Symbol.asyncDispose]();
  }

  #copy(name: string): string {
    return join(dirname(this.server.dataDirectory), name);
  }
}

/** A session with a server's database. */
export async function connect(server: TestServer, database: string, name: string): Promise<Session> {
  const source = server.uri(database, { socket: true });
  const options = { source, environment: {}, homeDirectory: "/nonexistent", userName: "postgres" };
  return await openSession(await resolveConnection(options), { applicationName: name });
}
