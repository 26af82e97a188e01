// Starts the shared test servers, one per major and only when first asked for, in vitest's main process, and hands
// their addresses to the test files' processes over a unix socket: one line asks ("18"), one line of JSON answers.

import { randomBytes } from "node:crypto";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";

import { MAJORS } from "./server-packages.ts";
import type { Major } from "./server-packages.ts";
import { ServerProcess } from "./server-process.ts";
import type { RunningServer } from "./server-process.ts";

const answerTimeoutMs = 10 * 60_000; // the first request may have to fetch packages

type Answer = { readonly server: RunningServer } | { readonly error: string };

/** A broker that listens; disposing stops every server it started. */
export interface Broker extends AsyncDisposable {
  readonly socketPath: string;
}

/** Opens the broker's socket. No server is started yet. */
export async function openBroker(): Promise<Broker> {
  // Linux's abstract namespace: nothing in the file system to leave behind when this process is killed.
  const socketPath = `\0cairn-test-${randomBytes(12).toString("hex")}`;
  const servers = new Map<Major, Promise<ServerProcess>>();
  const connections = new Set<Socket>();
  const listener = createServer((socket) => {
    connections.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => connections.delete(socket));
    void answerEachLine(socket, servers);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(socketPath, resolve);
  });
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
      for (const result of await Promise.allSettled(servers.values())) {
        if (result.status === "fulfilled") await result.value[Symbol.asyncDispose]();
      }
    },
  };
}

/** Asks the broker for the shared server of a major. */
export async function askBroker(socketPath: string, major: Major): Promise<RunningServer> {
  const socket = connect(socketPath);
  socket.setTimeout(answerTimeoutMs, () => socket.destroy(new Error("the test servers' broker does not answer")));
  try {
    socket.write(`${major}\n`);
    for await (const line of createInterface({ input: socket })) {
      const answer = JSON.parse(line) as Answer;
      if ("error" in answer) throw new Error(answer.error);
      return answer.server;
    }
    throw new Error("the test servers' broker closed the connection");
  } finally {
    socket.destroy();
  }
}

async function answerEachLine(socket: Socket, servers: Map<Major, Promise<ServerProcess>>): Promise<void> {
  try {
    for await (const line of createInterface({ input: socket })) {
      socket.write(`${JSON.stringify(await answer(line, servers))}\n`);
    }
  } catch {
    socket.destroy(); // the asking process went away
  }
}

async function answer(line: string, servers: Map<Major, Promise<ServerProcess>>): Promise<Answer> {
  const major = MAJORS.find((candidate) => String(candidate) === line);
  if (!major) return { error: `no PostgreSQL "${line}" among the test servers` };
  const starting = servers.get(major) ?? ServerProcess.create(major);
  servers.set(major, starting);
  try {
    return { server: (await starting).running };
  } catch (error) {
    return { error: String(error) };
  }
}
