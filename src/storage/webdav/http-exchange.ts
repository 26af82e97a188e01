// Sends one HTTP request with node:http and gives its answer as soon as its head is there. A body goes out piece by piece
// as the socket takes it; a large one only after the server said "continue", or was silent for a second (RFC 9110, 10.1.1),
// so that a refusal comes before the bytes. No retries, no redirects, no credentials: webdav-requests.ts.

import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { MIB } from "../../base/units.ts";
import type { Attempt } from "../retrier.ts";
import type { WebdavLocation } from "./webdav-location.ts";

const CONNECTION_TIMEOUT_MS = 10_000;
const CONTINUE_TIMEOUT_MS = 1_000;
const EXPECT_BYTES_MIN = 1 * MIB;
const PIECE_BYTES_MAX = 64 * 1024;
/** More than all readers and writers of one run use at once: nobody waits for a connection. */
const CONNECTIONS_MAX = 128;

/** What a request carries. `pieces` begins anew with each call. */
export interface Body {
  /** Null: not known yet; it goes out in chunks. */
  readonly lengthBytes: number | null;
  pieces(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

export interface HttpRequest {
  readonly method: string;
  /** As the request line has it. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body | undefined;
}

/** A body of known bytes. */
export function wholeBody(...parts: readonly Uint8Array[]): Body {
  const lengthBytes = parts.reduce((sum, { length }) => sum + length, 0);
  return { lengthBytes, pieces: () => parts };
}

/** Connections to one server. */
export class HttpConnections {
  readonly #location: WebdavLocation;
  readonly #agent: HttpAgent;

  constructor(location: WebdavLocation) {
    this.#location = location;
    const options = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
    this.#agent = location.isTls ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** The answer; its body is still to be read, or to be destroyed. */
  async send(request: HttpRequest, attempt: Attempt): Promise<IncomingMessage> {
    const outgoing = this.#open(request, attempt);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve);
      outgoing.on("error", reject);
    });
    answered.catch(() => undefined);
    const sending = this.#sendBody(outgoing, request, attempt, answered);
    sending.catch((error: unknown) => outgoing.destroy(error instanceof Error ? error : undefined));
    const first = await Promise.race([answered, sending.then(() => null)]);
    // Answered before all was sent: the rest is of no use, nor is the connection.
    if (first !== null) {
      if (!outgoing.writableFinished) first.once("close", () => outgoing.destroy());
      return first;
    }
    const answer = await answered;
    attempt.alive();
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }

  #open({ body, headers, method, path }: HttpRequest, attempt: Attempt): ClientRequest {
    const { host, isTls, origin, port } = this.#location;
    const length = body?.lengthBytes;
    const isLarge = body !== undefined && (length ?? EXPECT_BYTES_MIN) >= EXPECT_BYTES_MIN;
    const outgoing = (isTls ? httpsRequest : httpRequest)({
      host,
      port,
      method,
      path,
      agent: this.#agent,
      signal: attempt.signal,
      headers: {
        Host: new URL(origin).host,
        "User-Agent": "cairn",
        "Accept-Encoding": "identity",
        ...headers,
        ...(body === undefined && method !== "GET" && { "Content-Length": "0" }),
        ...(typeof length === "number" && { "Content-Length": String(length) }),
        ...(length === null && { "Transfer-Encoding": "chunked" }),
        ...(isLarge && { Expect: "100-continue" }),
      },
    });
    outgoing.once("socket", (socket) => {
      socket.setNoDelay(true);
      if (!socket.connecting) return;
      const failure = Object.assign(new Error("no connection in time"), { code: "ETIMEDOUT" });
      const timer = setTimeout(() => outgoing.destroy(failure), CONNECTION_TIMEOUT_MS);
      for (const event of ["connect", "close"]) socket.once(event, () => clearTimeout(timer));
    });
    return outgoing;
  }

  async #sendBody(
    outgoing: ClientRequest,
    { body }: HttpRequest,
    attempt: Attempt,
    answered: Promise<IncomingMessage>,
  ): Promise<void> {
    if (body === undefined) {
      outgoing.end();
      return;
    }
    if (outgoing.getHeader("expect") !== undefined) await goAhead(outgoing, answered);
    let isAnswered = false;
    const ended = answered.then(
      () => (isAnswered = true),
      () => (isAnswered = true),
    );
    for await (const bytes of body.pieces()) {
      for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES_MAX) {
        if (isAnswered) return;
        const hasRoom = outgoing.write(bytes.subarray(offset, offset + PIECE_BYTES_MAX));
        if (!hasRoom) await Promise.race([drained(outgoing), ended]);
        attempt.alive();
      }
      if (isAnswered) return;
    }
    outgoing.end();
    attempt.alive();
  }
}

async function drained(outgoing: ClientRequest): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const events = ["drain", "close"];
  for (const event of events) outgoing.once(event, resolve);
  await promise;
  for (const event of events) outgoing.off(event, resolve);
}

async function goAhead(outgoing: ClientRequest, answered: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  const told = new Promise<void>((resolve) => outgoing.once("continue", resolve));
  const silence = delay(CONTINUE_TIMEOUT_MS, undefined, { signal: waiting.signal }).catch(() => undefined);
  await Promise.race([told, answered.catch(() => undefined), silence]);
  waiting.abort();
}
