// PostgreSQL servers for end-to-end tests. In a test file:
//
//   const pg = await server(18);                         shared by the whole run, started when first asked for
//   await using database = await pg.createDatabase();    dropped at the end of the block
//   await pg.psql(database.name, "SELECT 1");            rows as psql -At prints them
//   const own = await ownServer(17, { settings: { ssl: "on" } });   with `await using`: your own to stop and break
//   const { pgDump } = await clientTools(13);            stock tools of the same major or the nearest newer
//
// Shared servers: trust, superuser postgres, fsync=off, wal_level=logical, max_prepared_transactions=10, and from 17
// on summarize_wal=on. Do not restart or reconfigure them. By hand: `node scripts/test-servers.ts` starts all six.

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { inject } from "vitest";

import { askBroker } from "./server-broker.ts";
import { clientTools } from "./server-packages.ts";
import type { ClientTools, Major } from "./server-packages.ts";
import { ServerProcess } from "./server-process.ts";
import type { RunningServer, ServerOptions } from "./server-process.ts";
import { cleanEnvironment } from "./server-user.ts";

export { clientTools, MAJORS, pgbouncerProgram } from "./server-packages.ts";
export type { ClientTools, Major } from "./server-packages.ts";
export { runAsServerUser } from "./server-user.ts";

const outputBytesMax = 256 << 20;

/** A server and what tests do with it. */
export interface TestServer extends RunningServer {
  readonly host: "127.0.0.1";
  readonly user: "postgres";
  /** Stock tools that can dump this server: of its own major, or the nearest newer. */
  readonly tools: ClientTools;
  /** A connection URI over TCP, or over the unix socket with `{ socket: true }`. */
  uri(database: string, options?: { user?: string; socket?: boolean }): string;
  /** Runs SQL in one psql session, stops at the first error, and returns the rows (unaligned, "|" between columns). */
  psql(
    database: string,
    sql: string | Uint8Array,
    options?: { user?: string; variables?: Record<string, string> },
  ): Promise<string>;
  /** Makes a database from template0 (encoding UTF8 without `options`); the name is made up when none is given. */
  createDatabase(name?: string, options?: { encoding?: string; locale?: string }): Promise<TestDatabase>;
  /** Drops a database, its subscriptions first. Missing is no error. */
  dropDatabase(name: string): Promise<void>;
}

/** A database that is dropped when disposed. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly uri: string;
  readonly server: TestServer;
  psql(sql: string | Uint8Array): Promise<string>;
}

/** A server of one test's own. */
export interface OwnServer extends TestServer, AsyncDisposable {
  start(): Promise<void>;
  stop(how?: "fast" | "immediate"): Promise<void>;
}

/** The run's shared server of a major. */
export async function server(major: Major): Promise<TestServer> {
  const running = await askBroker(inject("brokerSocketPath"), major);
  return testServer(running, await clientTools(major));
}

/** A new server for one test, in a temporary folder; dispose of it. */
export async function ownServer(major: Major, options?: ServerOptions): Promise<OwnServer> {
  const tools = await clientTools(major);
  const process = await ServerProcess.create(major, options);
  return {
    ...testServer(process.running, tools),
    start: () => process.start(),
    stop: (how) => process.stop(how),
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

/** A started server with what tests do with it. */
export function testServer(running: RunningServer, tools: ClientTools): TestServer {
  const self: TestServer = {
    ...running,
    host: "127.0.0.1",
    user: "postgres",
    tools,
    uri(database, options = {}) {
      const name = encodeURIComponent(database);
      const user = encodeURIComponent(options.user ?? "postgres");
      if (!options.socket) return `postgresql://${user}@127.0.0.1:${running.port}/${name}`;
      return `postgresql://${user}@/${name}?host=${encodeURIComponent(running.socketDirectory)}&port=${running.port}`;
    },
    psql: (database, sql, options = {}) => runPsql(self.uri(database, options), sql, tools, options.variables ?? {}),
    async createDatabase(name = `test_${randomBytes(6).toString("hex")}`, options = {}) {
      const locale = options.locale ? ` LOCALE ${quoteLiteral(options.locale)}` : "";
      const encoding = `ENCODING ${quoteLiteral(options.encoding ?? "UTF8")}`;
      await self.psql("postgres", `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE template0 ${encoding}${locale}`);
      return {
        name,
        uri: self.uri(name),
        server: self,
        psql: (sql) => self.psql(name, sql),
        [Symbol.asyncDispose]: () => self.dropDatabase(name),
      };
    },
    async dropDatabase(name) {
      const exists = `SELECT count(*) FROM pg_database WHERE datname = ${quoteLiteral(name)}`;
      if ((await self.psql("postgres", exists)) === "0") return;
      await self.psql(name, dropSubscriptions);
      await self.psql("postgres", `DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
    },
  };
  return self;
}

/** A server refuses to drop a database while a subscription stands in it; slots of others are left alone. */
const dropSubscriptions = `
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \\gexec
`;

function runPsql(
  uri: string,
  sql: string | Uint8Array,
  tools: ClientTools,
  variables: Record<string, string>,
): Promise<string> {
  const set = Object.entries(variables).flatMap(([name, value]) => ["-v", `${name}=${value}`]);
  const child = spawn(tools.psql, ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", ...set, "-d", uri, "-f", "-"], {
    env: cleanEnvironment(),
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}); // psql may end before it has read everything; its status says why
  child.stdin.end(sql);
  return finished("psql", child);
}

/** Runs one of the stock tools, without PG* settings, and returns its standard output; throws with its errors. */
export function runTool(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: cleanEnvironment(), maxBuffer: outputBytesMax };
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(" ")} failed:\n${stderr || error.message}`));
      else resolve(stdout);
    });
  });
}

function finished(name: string, child: ReturnType<typeof spawn>): Promise<string> {
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout?.on("data", (bytes: Buffer) => output.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => errors.push(bytes));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(Buffer.concat(output).toString("utf8").replace(/\n$/, ""));
      else reject(new Error(`${name} failed (status ${status}):\n${Buffer.concat(errors).toString("utf8")}`));
    });
  });
}

/** A name as an SQL identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Text as an SQL literal. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}
