// Stands in front of a WebDAV server, or for one, and does to requests what a test says; what it leaves alone goes through.

import { createServer, request } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** True when it has dealt with the request. */
export type Spoil = (incoming: IncomingMessage, answer: ServerResponse) => boolean;

export interface Spoiler extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  spoil: Spoil;
}

/** Opens one in front of a host; without a host, what is not dealt with is answered 404. */
export async function openSpoiler(host: string | null, spoil: Spoil = () => false): Promise<Spoiler> {
  const spoiler = { spoil };
  const listener = createServer((incoming, answer) => {
    if (spoiler.spoil(incoming, answer)) return;
    if (host === null) answer.writeHead(404).end();
    else forward(host, incoming, answer);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  return Object.assign(spoiler, {
    host: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  });
}

/** Sends a request on, with other headers or without its body where a test says so. */
export function forward(
  host: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  change: { readonly headers?: OutgoingHttpHeaders; readonly isEmpty?: boolean } = {},
): void {
  const { method, url } = incoming;
  const [name, port] = host.split(":");
  const headers = { ...incoming.headers, ...change.headers };
  for (const [key, value] of Object.entries(headers)) if (value === undefined) Reflect.deleteProperty(headers, key);
  const outgoing = request({ host: name, port, method, path: url, headers }, (response) => {
    answer.writeHead(response.statusCode ?? 500, response.headers);
    response.pipe(answer);
  });
  outgoing.on("error", () => incoming.socket.destroy());
  if (change.isEmpty === true) incoming.resume().on("end", () => outgoing.end());
  else incoming.pipe(outgoing);
}

/** An answer to PROPFIND with some files, as Apache writes it. */
export function multistatus(files: readonly { readonly href: string; readonly sizeBytes?: number }[]): string {
  const responses = files.map(({ href, sizeBytes }) => {
    const type = sizeBytes === undefined ? "<lp1:resourcetype><D:collection/></lp1:resourcetype>" : "";
    const size = sizeBytes === undefined ? "" : `<lp1:getcontentlength>${sizeBytes}</lp1:getcontentlength>`;
    return `<D:response xmlns:lp1="DAV:"><D:href>${href}</D:href><D:propstat><D:prop>${type}${size}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>`;
  });
  return `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">${responses.join("\n")}</D:multistatus>\n`;
}
