// Sends requests to one server: each through the retrier, over the connection that there is, or a new one. A request that
// is sent again may have been done before: who calls run() with something that cannot be done twice looks at the attempt's number.

import type { SFTPWrapper, Stats } from "ssh2";
import { OperatingError } from "../../base/errors.ts";
import { checkObjectName } from "../names.ts";
import type { Attempt, RequestFacts, Retrier } from "../retrier.ts";
import { SftpConnection, SYNC_MS_MAX } from "./sftp-connection.ts";
import { sftpError, STATUS, statusOf } from "./sftp-errors.ts";
import type { SftpLocation } from "./sftp-location.ts";

/** Facts of a request: the time limits are the connection's and this file's. */
export type SftpFacts = Pick<RequestFacts, "action" | "attemptsMax" | "signal" | "sizeBytes">;
/** The work of one attempt. */
export type SftpWork<T> = (connection: SftpConnection, attempt: Attempt) => Promise<T>;

/** See the head of this file. */
export class SftpRequests {
  readonly location: SftpLocation;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #retrier: Retrier;
  #connection: Promise<SftpConnection> | null = null;
  #isDisposed = false;

  constructor(location: SftpLocation, environment: Readonly<Record<string, string | undefined>>, retrier: Retrier) {
    this.location = location;
    this.#environment = environment;
    this.#retrier = retrier;
  }

  get retryCount(): number {
    return this.#retrier.retryCount;
  }

  /** The path of an object. Throws OperatingError "usage" for what is no object's name. */
  pathOf(name: string): string {
    checkObjectName(name);
    return `${this.location.root}/${name}`;
  }

  /** Does a request, again where that helps. */
  async run<T>(facts: SftpFacts, work: SftpWork<T>): Promise<T> {
    const { attemptTimeoutMs, slowestBytesPerSecond } = this.#retrier.policy;
    const { sizeBytes = 0 } = facts;
    // Silence is the connection's matter: behind one slow request all others wait.
    const silenceMs = attemptTimeoutMs + SYNC_MS_MAX + (sizeBytes / slowestBytesPerSecond) * 1000;
    return await this.#retrier.run({ ...facts, silenceMs }, async (attempt) => {
      try {
        const connection = await this.#connect();
        attempt.signal.addEventListener("abort", () => closeIfTooSlow(connection, attempt, facts), { once: true });
        return await work(connection, attempt);
      } catch (error) {
        throw sftpError(error, facts.action);
      }
    });
  }

  /** What the server says of a path; null when nothing is there. */
  async look(connection: SftpConnection, path: string): Promise<Stats | null> {
    return await unlessMissing(connection.request<Stats>((sftp, done) => sftp.stat(path, done)));
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const connection = await this.#connection?.catch(() => null);
    connection?.close();
  }

  async #connect(): Promise<SftpConnection> {
    for (;;) {
      if (this.#isDisposed) throw new OperatingError("storage_failed", "the storage was closed");
      this.#connection ??= SftpConnection.open(this.location, this.#environment, this.#retrier.policy.stallTimeoutMs);
      const pending = this.#connection;
      const connection = await pending.catch((error: unknown) => {
        if (this.#connection === pending) this.#connection = null;
        throw error;
      });
      if (connection.isOpen) return connection;
      // All who wait for it come by here: only the first one puts another in its place.
      if (this.#connection === pending) this.#connection = null;
    }
  }
}

/** A file handle of the server, closed when the work is done, however it ended. */
export async function withHandle<T>(
  connection: SftpConnection,
  open: (sftp: SFTPWrapper, done: (error?: Error | null, handle?: Buffer) => void) => void,
  work: (handle: Buffer) => Promise<T>,
): Promise<T> {
  const handle = await connection.request<Buffer>(open);
  try {
    return await work(handle);
  } finally {
    // Nothing was written through it that its end could lose; who writes closes for himself.
    connection.request<void>((sftp, done) => sftp.close(handle, done)).catch(() => undefined);
  }
}

/** Null where the server says that there is no such file. */
export async function unlessMissing<T>(request: Promise<T>): Promise<T | null> {
  try {
    return await request;
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile) return null;
    throw error;
  }
}

/** An attempt that took too long leaves requests behind that nobody waits for; the next one gets a new connection. */
function closeIfTooSlow(connection: SftpConnection, attempt: Attempt, { action, signal }: SftpFacts): void {
  if (signal?.aborted === true) return;
  const reason: unknown = attempt.signal.reason;
  connection.close(
    reason instanceof OperatingError ? reason : new OperatingError("stalled", `${action}: it took too long`),
  );
}
