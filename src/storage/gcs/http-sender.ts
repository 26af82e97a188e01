// Sends one HTTP request and gives the answer's head, its body still to be read. No retries, no redirects: those who call
// decide. A socket that is silent for too long is given up, also while a body is being sent.

import { Agent as HttpAgent, request as requestHttp } from "node:http";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { MeantFailure } from "./gcs-errors.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** More than all readers and writers of one run use at once: nobody waits for a connection. */
const CONNECTIONS_MAX = 128;
/** Longest answer that is read as text: a page of a list is some hundred KiB. */
const TEXT_BYTES_MAX = 16 * MIB;

/** A request, complete. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers?: OutgoingHttpHeaders;
  /** Sent one after another. */
  readonly body?: readonly Uint8Array[];
  readonly signal: AbortSignal;
}

/** The head of an answer; its body must be read or destroyed. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
}

/** What the sender is told of the world. */
interface SenderSettings {
  /** For HTTPS_PROXY and its like. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True: the proxy may see what is sent over http:, for which there is no tunnel through it. */
  readonly isPublic: boolean;
  readonly stallTimeoutMs: number;
}

/** See the head of this file. */
export class HttpSender {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #stallTimeoutMs: number;

  /** Throws OperatingError "usage" for a proxy's address that is none. */
  constructor({ environment, isPublic, stallTimeoutMs }: SenderSettings) {
    const options = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
    const proxied = { ...options, proxyEnv: { ...environment } };
    try {
      this.#http = new HttpAgent(isPublic ? proxied : options);
      this.#https = new HttpsAgent(proxied);
    } catch {
      // Without the cause: it repeats the address, and with it the password.
      throw new OperatingError("usage", "the proxy's address in HTTPS_PROXY or HTTP_PROXY cannot be used", {
        hint: "The form is http://USER:PASSWORD@HOST:PORT; what is neither letter nor digit in USER and PASSWORD must be written as %XX.",
      });
    }
    this.#stallTimeoutMs = stallTimeoutMs;
  }

  /** Throws what the network says. */
  async send({ body = [], headers, method, signal, url }: HttpRequest): Promise<HttpAnswer> {
    signal.throwIfAborted();
    const isSecure = url.protocol === "https:";
    const length = body.reduce((sum, { length: bytes }) => sum + bytes, 0);
    const options = {
      method,
      signal,
      timeout: this.#stallTimeoutMs,
      agent: isSecure ? this.#https : this.#http,
      headers: { ...headers, ...(method !== "GET" && { "content-length": length }) },
    };
    const outgoing = isSecure ? requestHttps(url, options) : requestHttp(url, options);
    const answer = answerOf(outgoing, this.#stallTimeoutMs);
    for (const piece of body) outgoing.write(piece);
    outgoing.end();
    return await answer;
  }

  dispose(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

async function answerOf(outgoing: ClientRequest, stallTimeoutMs: number): Promise<HttpAnswer> {
  const { promise, reject, resolve } = Promise.withResolvers<HttpAnswer>();
  const connecting = setTimeout(() => {
    outgoing.destroy(stalled(`no connection after ${CONNECT_TIMEOUT_MS / 1000} s`));
  }, CONNECT_TIMEOUT_MS);
  const connected = (): void => clearTimeout(connecting);
  outgoing.once("socket", (socket) => {
    if (socket.connecting) socket.once("connect", connected);
    else connected();
  });
  outgoing.once("timeout", () => {
    outgoing.destroy(stalled(`no byte moved for ${Math.round(stallTimeoutMs / 1000)} s`));
  });
  // Stays: a server may answer, and close, before it has read the whole body.
  outgoing.on("error", (error) => {
    connected();
    reject(error);
  });
  outgoing.once("response", (body) => {
    connected();
    resolve({ status: body.statusCode ?? 0, headers: body.headers, body });
  });
  return await promise;
}

/** The whole body as text. Throws where it is too long to be an answer of the interface. */
export async function readText({ body }: HttpAnswer): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      length += piece.length;
      if (length > TEXT_BYTES_MAX) throw new MeantFailure({ code: "storage_failed", says: "the answer is too long" });
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString("utf8");
  } finally {
    body.destroy();
  }
}

function stalled(says: string): MeantFailure {
  return new MeantFailure({ code: "stalled", says, retryable: true });
}
