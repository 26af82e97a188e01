// Throwaway servers: what is left of them in the end, and what they say when they do not start.

import { execFile, spawn } from "node:child_process";
import { access, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { findServerBinaries, openSession, startThrowawayServer } from "../../src/postgres/index.ts";

const CHILD = fileURLToPath(new URL("throwaway-child.ts", import.meta.url));

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

// A zombie that nobody has reaped yet is not alive.
async function isAlive(processId: number): Promise<boolean> {
  const status = await promisify(execFile)("ps", ["-o", "stat=", "-p", String(processId)]).catch(() => null);
  return status !== null && !status.stdout.startsWith("Z");
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  for (let count = 0; count < 200; count += 1) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error("the condition did not come true within 10 s");
}

test.each([13, 18])("startThrowawayServer(%i) gives a private server and leaves nothing", async (major) => {
  let left: { processId: number; dataDirectory: string };
  {
    await using server = await startThrowawayServer({ major, tcp: true, settings: { wal_level: "logical" } });
    left = server;
    expect((await stat(server.socketDirectory)).mode & 0o777).toBe(0o700);
    expect(server.binaries.version.major).toBe(major);
    await using session = await openSession(server.settings);
    expect((await session.query("SHOW wal_level")).value).toBe("logical");
    if (server.tcpSettings === null) throw new Error("no TCP settings");
    await using remote = await openSession(server.tcpSettings);
    expect((await remote.query("SELECT 1")).value).toBe("1");
    await expect(openSession({ ...server.tcpSettings, password: null })).rejects.toThrow("asks for a password");
  }
  expect(await isAlive(left.processId)).toBe(false);
  expect(await exists(left.dataDirectory)).toBe(false);
});

test("stop() leaves the folder until disposal", async () => {
  await using server = await startThrowawayServer({ major: 18 });
  await server.stop("fast");
  expect(await isAlive(server.processId)).toBe(false);
  expect(await exists(server.dataDirectory)).toBe(true);
  await server.stop();
});

test("startThrowawayServer() shows the server's log when it does not start", async () => {
  await expect(startThrowawayServer({ major: 18, settings: { shared_buffers: "nonsense" } })).rejects.toMatchObject({
    message: "a throwaway server ended while starting",
    detail: expect.stringContaining('invalid value for parameter "shared_buffers"'),
  });
  await expect(startThrowawayServer({ binariesDirectory: "/nowhere" })).rejects.toThrow('in "/nowhere" were found');
  expect(await findServerBinaries(99)).toBeNull();
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "a process ended by %s takes its throwaway server with it",
  async (signal) => {
    const child = spawn(process.execPath, [CHILD, "18"], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await createInterface({ input: child.stdout })
      [Symbol.asyncIterator]()
      .next()
      .then(({ value }) => [String(value)]);
    const { processId, dataDirectory } = JSON.parse(line as string) as { processId: number; dataDirectory: string };
    expect(await isAlive(processId)).toBe(true);
    const ended = new Promise<string | null>((resolve) => child.once("exit", (_code, by) => resolve(by)));
    child.kill(signal);
    expect(await ended).toBe(signal);
    await waitFor(async () => !(await isAlive(processId)));
    expect(await exists(dataDirectory)).toBe(false);
  },
);
