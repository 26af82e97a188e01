// A proxy in front of a real storage server that does what networks and busy servers do. A test plans faults; each
// request takes the next one that matches it, and what matches none goes through untouched.

import { createServer, request } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Fault =
  /** The connection is reset before the server hears of the request. */
  | { readonly kind: "reset" }
  /** The server does it, and the answer is lost. */
  | { readonly kind: "lose-answer" }
  /** The server does it, and the answer is an error. */
  | { readonly kind: "done-but"; readonly status: number; readonly code?: string; readonly text?: string }
  /** An error answer, S3's own, one of the given text, or a proxy's. */
  | { readonly kind: "status"; readonly status: number; readonly code?: string; readonly text?: string }
  /** The body is cut off after so many bytes: by a reset, or by a clean end after a lying Content-Length. */
  | { readonly kind: "cut-body"; readonly bytes: number }
  | { readonly kind: "short-length"; readonly bytes: number }
  /** The body stops after so many bytes and the connection stays open. */
  | { readonly kind: "stall-body"; readonly bytes: number }
  /** The answer is the server's, but for these headers. */
  | { readonly kind: "headers"; readonly headers: Readonly<Record<string, string>> }
  /** The answer is the server's, but for metadata. */
  | { readonly kind: "no-metadata" }
  /** The answer takes its time. */
  | { readonly kind: "slow"; readonly ms: number }
  /** The proxy sends the request twice; the second answer is passed on. */
  | { readonly kind: "twice" }
  /** A byte of the request's body is another when it arrives. */
  | { readonly kind: "flip" }
  /** The server never sees the condition of a write: as servers that ignore it. */
  | { readonly kind: "unconditional" }
  /** The request's body is not read, and nothing is answered. */
  | { readonly kind: "deaf" };

/** A fault, and the requests that meet it: by method, and by a piece of the URL. */
export type PlannedFault = Fault & { readonly method: string; readonly url?: string; readonly times?: number };

export interface FaultProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** "METHOD /path?query" of each request so far. */
  readonly seen: string[];
  /** The access key of each request so far, "" for none. */
  readonly keys: string[];
  plan(...faults: readonly PlannedFault[]): void;
  /** How many planned faults have not been met. */
  unmet(): number;
}

/** Opens a proxy to an endpoint. */
export async function openFaultProxy(endpoint: string): Promise<FaultProxy> {
  let planned: { readonly fault: PlannedFault; left: number }[] = [];
  const seen: string[] = [];
  const keys: string[] = [];
  const listener = createServer((incoming, answer) => {
    const { method = "", url = "" } = incoming;
    seen.push(`${method} ${url}`);
    keys.push(/Credential=([^/]*)/.exec(incoming.headers.authorization ?? "")?.[1] ?? "");
    const found = planned.find(({ fault, left }) => {
      return left > 0 && fault.method === method && url.includes(fault.url ?? "");
    });
    if (found !== undefined) found.left -= 1;
    handle(new URL(endpoint), incoming, answer, found?.fault ?? null);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    seen,
    keys,
    plan: (...faults) => {
      planned = faults.map((fault) => ({ fault, left: fault.times ?? 1 }));
      seen.length = 0;
      keys.length = 0;
    },
    unmet: () => planned.reduce((sum, { left }) => sum + left, 0),
    [Symbol.asyncDispose]: async () => {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function handle(server: URL, incoming: IncomingMessage, answer: ServerResponse, fault: Fault | null): void {
  if (fault?.kind === "reset") return void incoming.socket.resetAndDestroy();
  if (fault?.kind === "deaf") return;
  if (fault?.kind === "status") return void incoming.resume().on("end", () => sayStatus(answer, fault));
  const { method, url } = incoming;
  const { "if-none-match": condition, ...others } = incoming.headers;
  const headers = fault?.kind === "unconditional" || condition === undefined ? others : incoming.headers;
  if (fault?.kind === "twice") return sendTwice(server, incoming, answer);
  const options = { host: server.hostname, port: server.port, method, path: url, headers };
  const outgoing = request(options, (response) => pass(response, answer, fault));
  outgoing.on("error", () => incoming.socket.destroy());
  if (fault?.kind !== "flip") return void incoming.pipe(outgoing);
  let isFlipped = false;
  incoming.on("data", (piece: Buffer) => {
    if (!isFlipped) piece[0] = (piece[0] ?? 0) ^ 1;
    isFlipped = true;
    outgoing.write(piece);
  });
  incoming.on("end", () => outgoing.end());
}

function sendTwice(server: URL, incoming: IncomingMessage, answer: ServerResponse): void {
  const { headers, method, url } = incoming;
  const body: Buffer[] = [];
  const options = { host: server.hostname, port: server.port, method, path: url, headers };
  const send = (then: (response: IncomingMessage) => void): void =>
    void request(options, then).end(Buffer.concat(body));
  incoming.on("data", (piece: Buffer) => body.push(piece));
  incoming.on("end", () => {
    send((first) => first.resume().on("end", () => send((second) => pass(second, answer, null))));
  });
}

function sayStatus(
  answer: ServerResponse,
  { code, status, text: given }: { status: number; code?: string; text?: string },
): void {
  const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>planned</Message></Error>`;
  const text = given ?? (code === undefined ? "<html><body>Bad gateway</body></html>" : xml);
  answer.writeHead(status, { "content-type": code === undefined ? "text/html" : "application/xml" }).end(text);
}

function pass(response: IncomingMessage, answer: ServerResponse, fault: Fault | null): void {
  if (fault?.kind === "lose-answer") {
    response.resume().on("end", () => answer.socket?.resetAndDestroy());
    return;
  }
  if (fault?.kind === "done-but") return void response.resume().on("end", () => sayStatus(answer, fault));
  const body: Buffer[] = [];
  response.on("data", (piece: Buffer) => body.push(piece));
  response.on("end", () => {
    const bytes = Buffer.concat(body);
    const { statusCode = 500 } = response;
    const headers: OutgoingHttpHeaders = { ...response.headers, ...(fault?.kind === "headers" && fault.headers) };
    if (fault?.kind === "no-metadata") {
      for (const name of Object.keys(headers))
        if (/^x-(?:amz|ms)-meta-/.test(name)) Reflect.deleteProperty(headers, name);
    }
    if (fault?.kind === "slow") {
      setTimeout(() => answer.writeHead(statusCode, response.headers).end(bytes), fault.ms);
      return;
    }
    // The answer to HEAD has a length and no body.
    if (fault === null || !("bytes" in fault)) return void answer.writeHead(statusCode, headers).end(bytes);
    const part = bytes.subarray(0, fault.bytes);
    if (fault.kind === "short-length") {
      answer.writeHead(statusCode, { ...headers, "content-length": String(part.length) }).end(part);
      return;
    }
    answer.writeHead(statusCode, headers);
    answer.write(part, () => {
      if (fault.kind === "cut-body") answer.socket?.destroy();
    });
  });
}
