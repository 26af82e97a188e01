// A bare session with a test server that trusts us, for what stands in the relay's place when a pg_dump host is tested
// alone: login, and one frontend message answered up to ReadyForQuery. Data statements are answered with "no rows".

import { connect, type Socket } from "node:net";

import { answerLargeObjectCall } from "../../src/dump/large-object-stub.ts";
import { withoutVersionOption } from "../../src/dump/version-option.ts";

export interface RawSession extends Disposable {
  /** ParameterStatus of the server. */
  readonly parameters: ReadonlyMap<string, string>;
  /** The statements that went to the server, and those that were answered here. */
  readonly sent: string[];
  readonly answeredHere: string[];
  exchange(message: Uint8Array, onBytes: (bytes: Uint8Array) => void): Promise<void>;
}

const emptyCopy = Buffer.from("H\0\0\0\x07\0\0\0c\0\0\0\x04C\0\0\0\x0bCOPY 0\0Z\0\0\0\x05T");

/** Logs in as postgres without naming a client encoding, as libpq does. */
export async function openRawSession(port: number, database: string): Promise<RawSession> {
  const socket = connect(port, "127.0.0.1");
  const parameters = new Map<string, string>();
  const startup = Buffer.from(`\0\0\0\0\0\x03\0\0user\0postgres\0database\0${database}\0\0`);
  startup.writeInt32BE(startup.length);
  await answered(socket, startup, (_bytes, messages) => {
    for (const message of messages) {
      const [name, value] = message.toString("utf8", 5).split("\0");
      if (message[0] === 0x53) parameters.set(name!, value!);
      if (message[0] === 0x45) throw new Error(`login failed: ${message.toString("utf8", 5)}`);
    }
  });
  const sent: string[] = [];
  const answeredHere: string[] = [];
  return {
    parameters,
    sent,
    answeredHere,
    async exchange(message, onBytes) {
      const text = String.fromCharCode(message[0]!) + Buffer.from(message).toString("latin1", 5);
      const local = text.startsWith("QCOPY ") ? emptyCopy : answerLargeObjectCall(message);
      (local === null ? sent : answeredHere).push(text);
      if (local === null) await answered(socket, withoutVersionOption(message), onBytes);
      else onBytes(local);
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

function answered(
  socket: Socket,
  request: Uint8Array,
  onBytes: (bytes: Uint8Array, messages: readonly Buffer[]) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let rest: Buffer = Buffer.alloc(0);
    const finish = (error?: Error): void => {
      socket.off("data", onData).off("error", finish);
      if (error) reject(error);
      else resolve();
    };
    const onData = (bytes: Buffer): void => {
      rest = Buffer.concat([rest, bytes]);
      const messages: Buffer[] = [];
      while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
        messages.push(rest.subarray(0, 1 + rest.readInt32BE(1)));
        rest = rest.subarray(1 + rest.readInt32BE(1));
      }
      onBytes(bytes, messages);
      if (messages.at(-1)?.[0] === 0x5a) finish();
    };
    socket.on("data", onData).on("error", finish);
    socket.write(request);
  });
}
