// A way to a server that is cut at one moment of the conversation: all connections, or the one that reached it.

import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** Where connections are cut: the text that is on its way, which time, and whether the server still gets it. */
export interface Cut {
  readonly text?: string;
  readonly count: number;
  readonly arrives?: boolean;
  /** All, for good; the one that reached it; or that one with a server that does not hear of it. All, unless said. */
  readonly scope?: "all" | "one" | "one, unheard";
}

/** A way to the server that is cut at one moment, and stays so. */
export class CuttingWay implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #cut: Cut | null;
  readonly #server = createServer((client) => this.#forward(client));
  #left: number;
  /** Pieces that clients sent. */
  count = 0;
  isCut = false;
  readonly #cutting = Promise.withResolvers<void>();
  /** The one connection was cut; the others go on. */
  #isOver = false;
  readonly #serverPort: number;

  private constructor(serverPort: number, cut: Cut | null) {
    this.#serverPort = serverPort;
    this.#cut = cut;
    this.#left = cut?.count ?? Infinity;
  }

  static async open(serverPort: number, cut: Cut | null): Promise<CuttingWay> {
    const way = new CuttingWay(serverPort, cut);
    await new Promise<void>((resolve) => way.#server.listen(0, "127.0.0.1", resolve));
    return way;
  }

  /** Resolves when all connections are cut. */
  get whenCut(): Promise<void> {
    return this.#cutting.promise;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #forward(client: Socket): void {
    if (this.isCut) return void client.destroy();
    const onward = connect(this.#serverPort, "127.0.0.1");
    for (const socket of [client, onward]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => [client, onward].forEach((one) => one.destroy()));
    }
    client.on("data", (bytes) => {
      this.count += 1;
      const text = this.#cut?.text;
      if (text === undefined || bytes.includes(text)) this.#left -= 1;
      if (this.#left > 0 || this.#isOver) return void onward.write(bytes);
      if (this.#cut?.arrives !== true) return this.#cutOff(client);
      // The server has done it when it answers, and nobody hears it.
      if (this.isCut) return;
      onward.removeAllListeners("data").on("data", () => this.#cutOff(client));
      onward.write(bytes);
    });
    onward.on("data", (bytes) => void client.write(bytes));
  }

  #cutOff(client: Socket): void {
    const scope = this.#cut?.scope ?? "all";
    if (scope === "all") return this.#cutAll();
    this.#isOver = true;
    if (scope === "one, unheard") client.removeAllListeners("close");
    client.destroy();
  }

  #cutAll(): void {
    this.isCut = true;
    this.#cutting.resolve();
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
