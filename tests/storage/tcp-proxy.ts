// A proxy on the way to a real server that does what networks do, without a look at what passes: it is encrypted.

import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** What befalls a connection. */
export type TcpFault =
  /** Reset after so many bytes have come from the client, or so many pieces from the server; the last ones are lost. */
  | { readonly kind: "cut"; readonly afterBytesUp?: number; readonly afterPiecesDown?: number }
  /** From so many bytes of the server on, nothing passes in either direction, and the connection stays open. */
  | { readonly kind: "stall"; readonly afterBytesDown: number };

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections so far. */
  readonly connectionCount: number;
  /** The next connections meet these, one each; the one that is open is met by the first if it is not at work yet. */
  plan(...faults: readonly TcpFault[]): void;
  /** Resets what is open. */
  cut(): void;
  /** Holds what the server says for so long before it passes; a cut drops it. */
  delayMs: number;
}

/** Opens a proxy to a port of this machine. */
export async function openTcpProxy(port: number): Promise<TcpProxy> {
  let planned: TcpFault[] = [];
  const open = new Set<Socket>();
  let connectionCount = 0;
  const proxy = { delayMs: 0 };
  const listener = createServer((client) => {
    connectionCount += 1;
    const fault = planned.shift() ?? null;
    const server = connect({ host: "127.0.0.1", port });
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      open.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => open.delete(socket));
    }
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
    pass(client, server, fault, () => proxy.delayMs);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return Object.defineProperty(
    Object.assign(proxy, {
      port: (listener.address() as AddressInfo).port,
      connectionCount: 0,
      plan: (...faults: readonly TcpFault[]) => void (planned = [...faults]),
      cut: () => {
        for (const socket of open) socket.resetAndDestroy();
      },
      [Symbol.asyncDispose]: async () => {
        for (const socket of open) socket.destroy();
        await new Promise((resolve) => listener.close(resolve));
      },
    }),
    "connectionCount",
    { get: () => connectionCount },
  );
}

function pass(client: Socket, server: Socket, fault: TcpFault | null, delayMs: () => number): void {
  let bytesUp = 0;
  let bytesDown = 0;
  let piecesDown = 0;
  const cut = (): void => {
    client.resetAndDestroy();
    server.resetAndDestroy();
  };
  const isStalled = (): boolean => fault?.kind === "stall" && bytesDown >= fault.afterBytesDown;
  client.on("data", (bytes: Buffer) => {
    bytesUp += bytes.length;
    if (isStalled()) return;
    server.write(bytes);
    if (fault?.kind === "cut" && fault.afterBytesUp !== undefined && bytesUp >= fault.afterBytesUp) cut();
  });
  server.on("data", (bytes: Buffer) => {
    bytesDown += bytes.length;
    piecesDown += 1;
    if (isStalled()) return;
    if (fault?.kind === "cut" && fault.afterPiecesDown !== undefined && piecesDown > fault.afterPiecesDown)
      return cut();
    if (delayMs() === 0) client.write(bytes);
    else setTimeout(() => client.writable && client.write(bytes), delayMs());
  });
}
