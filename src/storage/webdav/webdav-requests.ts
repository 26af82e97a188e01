// Sends requests to one WebDAV server: each through the retrier, with credentials, each failure as an OperatingError.
// Redirects are followed on the same host for what only reads, and refused everywhere else.

import type { IncomingMessage } from "node:http";
import { OperatingError } from "../../base/errors.ts";
import { GIB, KIB, MIB } from "../../base/units.ts";
import type { Attempt, RequestFacts, Retrier } from "../retrier.ts";
import type { Authorization } from "./authorization.ts";
import type { HttpConnections, HttpRequest } from "./http-exchange.ts";
import { wholeBody } from "./http-exchange.ts";
import { MultistatusReader, PROPFIND_BODY, QUOTA_BODY } from "./multistatus.ts";
import type { Entry } from "./multistatus.ts";
import { exchangeError, refusalError } from "./webdav-errors.ts";
import { encodedPath } from "./webdav-location.ts";
import type { WebdavLocation } from "./webdav-location.ts";

const LOGINS_MAX = 2;
const REDIRECTS_MAX = 3;
const REFUSAL_BYTES_MAX = 16 * KIB;
const RETRY_AFTER_MS_MAX = 30_000;
const READING_METHODS = ["GET", "PROPFIND"];
/** Of what a server says of one file, and of all files of a folder. */
const ENTRY_BYTES_MAX = 1 * MIB;
const FOLDER_BYTES_MAX = 2 * GIB;
/** What is held in memory of one folder: some 200 MB. */
const FOLDER_ENTRIES_MAX = 1_000_000;

/** The answer to a request, not a refusal. */
export interface Answer {
  readonly status: number;
  readonly message: IncomingMessage;
  /** The server's clock; null: not said. */
  readonly serverTimeMs: number | null;
}

/** A request by decoded path. */
export interface WebdavRequest extends Omit<HttpRequest, "path" | "headers"> {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a server says of a folder. */
export interface Listing {
  /** The folder itself among them. */
  readonly entries: readonly Entry[];
  readonly serverTimeMs: number | null;
}

/** See the head of this file. */
export class WebdavRequests {
  readonly location: WebdavLocation;
  readonly #connections: HttpConnections;
  readonly #authorization: Authorization;
  readonly #retrier: Retrier;
  #notBeforeMs = 0;

  constructor(
    location: WebdavLocation,
    { authorization, connections }: { authorization: Authorization; connections: HttpConnections },
    retrier: Retrier,
  ) {
    this.location = location;
    this.#authorization = authorization;
    this.#connections = connections;
    this.#retrier = retrier;
  }

  get retryCount(): number {
    return this.#retrier.retryCount;
  }

  get policy(): Retrier["policy"] {
    return this.#retrier.policy;
  }

  /** The path of an object or a folder of the repository. */
  pathOf(name: string): string {
    return this.location.path + name;
  }

  /** Does work that sends, again where that helps. */
  async run<T>(facts: RequestFacts, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    const waitMs = (): number => this.#notBeforeMs - performance.now();
    return await this.#retrier.run({ ...facts, waitMs }, async (attempt) => {
      try {
        return await work(attempt);
      } catch (error) {
        throw exchangeError(error, facts.action, this.location.origin);
      }
    });
  }

  /** Sends a request once. Statuses of 300 and more are thrown, but for those that the caller expects. */
  async send(
    attempt: Attempt,
    action: string,
    request: WebdavRequest,
    expected: readonly number[] = [],
  ): Promise<Answer> {
    let path = encodedPath(request.path);
    let [logins, redirects] = [0, 0];
    for (;;) {
      const authorization = this.#authorization.headerFor(request.method, path);
      const headers = { ...request.headers, ...(authorization !== undefined && { Authorization: authorization }) };
      const message = await this.#connections.send({ ...request, path, headers }, attempt);
      const { statusCode: status = 0 } = message;
      if (status < 300 || expected.includes(status)) return { status, message, serverTimeMs: timeOf(message) };
      const text = await beginningOf(message);
      if (status === 401 && logins < LOGINS_MAX) {
        logins += 1;
        if (this.#authorization.isChallengedBy(message.headers["www-authenticate"], authorization)) continue;
      }
      const target = this.#redirectOf(message);
      if (target?.isHere === true && READING_METHODS.includes(request.method) && redirects < REDIRECTS_MAX) {
        redirects += 1;
        path = target.path;
        continue;
      }
      this.#noteRetryAfter(message);
      const { hasCredentials } = this.#authorization;
      throw refusalError(action, { status, text, hasCredentials, target: target?.shown });
    }
  }

  /** Sends a request whose answer's body does not matter, again where that helps. Gives the status. */
  async order(facts: RequestFacts, request: WebdavRequest, expected?: readonly number[]): Promise<number> {
    return await this.run(facts, async (attempt) => await this.orderOnce(attempt, facts.action, request, expected));
  }

  /** The same, sent once. */
  async orderOnce(
    attempt: Attempt,
    action: string,
    request: WebdavRequest,
    expected?: readonly number[],
  ): Promise<number> {
    const { message, status } = await this.send(attempt, action, request, expected);
    await this.drain(message, attempt);
    // What went wrong with a part of it; none of our requests is about more than one file.
    if (status === 207 && request.method !== "PROPFIND") {
      throw new OperatingError("storage_failed", `${action}: the server did only a part of it`, { retryable: true });
    }
    return status;
  }

  /** What the server says of a file; null when it is not there, or is a folder. */
  async look(
    path: string,
    action: string,
    options: { readonly signal?: AbortSignal | undefined; readonly attemptsMax?: number } = {},
  ): Promise<Entry | null> {
    const { attemptsMax, signal } = options;
    const facts = { action, signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.run(facts, async (attempt) => await this.lookOnce(attempt, path, action));
  }

  /** The same, sent once. */
  async lookOnce(attempt: Attempt, path: string, action: string): Promise<Entry | null> {
    const { entries } = await this.#propfind(attempt, action, { path, depth: "0", body: PROPFIND_BODY });
    const entry = entries[0];
    return entry === undefined || entry.isFolder ? null : entry;
  }

  async isFolder(path: string, action: string): Promise<boolean> {
    const { entries } = await this.run({ action }, async (attempt) => {
      return await this.#propfind(attempt, action, { path, depth: "0", body: PROPFIND_BODY });
    });
    return entries[0]?.isFolder === true;
  }

  /** What the server says of a folder and all that is in it; no entries when there is no such folder. */
  async list(path: string, action: string, signal: AbortSignal | undefined): Promise<Listing> {
    const facts = { action, sizeBytes: FOLDER_BYTES_MAX, signal };
    return await this.run(facts, async (attempt) => {
      return await this.#propfind(attempt, action, { path, depth: "1", body: PROPFIND_BODY });
    });
  }

  /** Space left in a folder; null when the server does not tell, or there is no such folder. */
  async availableBytes(path: string): Promise<number | null> {
    const action = "could not ask for the free space";
    const { entries } = await this.run({ action }, async (attempt) => {
      return await this.#propfind(attempt, action, { path, depth: "0", body: QUOTA_BODY });
    });
    return entries[0]?.availableBytes ?? null;
  }

  /** Reads and forgets the body of an answer, so that its connection can be used again. */
  async drain(message: IncomingMessage, attempt: Attempt): Promise<void> {
    let left = REFUSAL_BYTES_MAX;
    for await (const piece of message as AsyncIterable<Uint8Array>) {
      attempt.alive();
      left -= piece.length;
      if (left < 0) break;
    }
  }

  dispose(): void {
    this.#connections.close();
  }

  async #propfind(
    attempt: Attempt,
    action: string,
    { body, depth, path }: { path: string; depth: "0" | "1"; body: Uint8Array },
  ): Promise<Listing> {
    const headers = { Depth: depth, "Content-Type": "application/xml; charset=utf-8" };
    const request = { method: "PROPFIND", path, headers, body: wholeBody(body) };
    const { message, serverTimeMs, status } = await this.send(attempt, action, request, [404]);
    if (status === 404) {
      await this.drain(message, attempt);
      return { entries: [], serverTimeMs };
    }
    if (status !== 207) {
      message.destroy();
      throw refusalError(action, { status: 405, text: "", hasCredentials: true });
    }
    return { entries: await readEntries(message, attempt, depth === "0"), serverTimeMs };
  }

  /** A redirect's target, without what could be a secret in it; null when it is no redirect. */
  #redirectOf({ headers, statusCode = 0 }: IncomingMessage): { path: string; shown: string; isHere: boolean } | null {
    const { origin } = this.location;
    if (![301, 302, 303, 307, 308].includes(statusCode) || !URL.canParse(headers.location ?? "", origin)) return null;
    const url = new URL(headers.location ?? "", origin);
    const isHere = url.origin === origin && statusCode !== 303;
    return { path: url.pathname, shown: (url.origin + url.pathname).slice(0, 200), isHere };
  }

  #noteRetryAfter({ headers }: IncomingMessage): void {
    const text = headers["retry-after"] ?? "";
    const delayMs = /^\d{1,6}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
    if (!(delayMs > 0)) return;
    this.#notBeforeMs = Math.max(this.#notBeforeMs, performance.now() + Math.min(delayMs, RETRY_AFTER_MS_MAX));
  }
}

async function readEntries(message: IncomingMessage, attempt: Attempt, isOne: boolean): Promise<Entry[]> {
  const entries: Entry[] = [];
  const reader = new MultistatusReader((entry) => entries.push(entry));
  let left = isOne ? ENTRY_BYTES_MAX : FOLDER_BYTES_MAX;
  try {
    for await (const piece of message as AsyncIterable<Uint8Array>) {
      attempt.alive();
      left -= piece.length;
      if (left < 0 || entries.length > (isOne ? 1 : FOLDER_ENTRIES_MAX)) throw tooLong();
      reader.write(piece);
    }
    reader.end();
    return entries;
  } finally {
    message.destroy();
  }
}

function tooLong(): OperatingError {
  return new OperatingError("storage_failed", "the server's list of files is longer than can be right", {
    detail: `A folder may hold ${FOLDER_ENTRIES_MAX} files.`,
  });
}

function timeOf({ headers }: IncomingMessage): number | null {
  const time = Date.parse(headers.date ?? "");
  return Number.isNaN(time) ? null : time;
}

async function beginningOf(message: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = [];
  let count = 0;
  try {
    for await (const piece of message as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      count += piece.length;
      if (count > REFUSAL_BYTES_MAX) break;
    }
  } catch {
    // The status says enough.
  }
  return Buffer.concat(pieces).toString("utf8").slice(0, REFUSAL_BYTES_MAX);
}
