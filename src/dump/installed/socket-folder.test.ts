// Which folders are swept, and which are not: in a folder of the test's own.

import { chmod, chown, mkdir, mkdtemp, readdir, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { makeSocketFolder, SOCKET_NAME, sweepSocketFolders } from "./socket-folder.ts";

const AN_HOUR_AGO = new Date(Date.now() - 3_600_000);

let parent: string;
const servers: Server[] = [];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "cairn-sweep-"));
});
afterEach(async () => {
  for (const one of servers.splice(0)) one.close();
  await rm(parent, { recursive: true });
});

interface Folder {
  readonly name: string;
  readonly socket?: "dead" | "alive" | "none";
  readonly file?: string;
  readonly mode?: number;
  readonly isYoung?: boolean;
  readonly userId?: number;
}

async function make({ name, socket = "dead", file, mode = 0o700, isYoung = false, userId }: Folder): Promise<string> {
  const path = join(parent, name);
  await mkdir(path);
  if (socket !== "none") await makeSocket(join(path, SOCKET_NAME), socket === "alive");
  if (file !== undefined) await writeFile(join(path, file), "precious");
  await chmod(path, mode);
  if (userId !== undefined) await chown(path, userId, userId);
  if (!isYoung) await utimes(path, AN_HOUR_AGO, AN_HOUR_AGO);
  return path;
}

/** A socket file that its process did not remove: closing removes only the name that was listened on. */
async function makeSocket(path: string, isAlive: boolean): Promise<void> {
  const listening = createServer();
  const firstPath = isAlive ? path : `${path}.first`;
  await new Promise<void>((resolve) => listening.listen(firstPath, resolve));
  if (isAlive) {
    servers.push(listening);
    return;
  }
  await rename(firstPath, path);
  await new Promise((resolve) => listening.close(resolve));
}

test("sweepSocketFolders() removes what dead runs left behind, and nothing else", async () => {
  await make({ name: "cairn-socket-dead01" });
  await make({ name: "cairn-socket-empty1", socket: "none" });
  const target = await make({ name: "elsewhere" });
  await make({ name: "cairn-socket-alive1", socket: "alive" });
  await make({ name: "cairn-socket-file01", file: "notes.txt" });
  await make({ name: "cairn-socket-plain1", socket: "none", file: SOCKET_NAME });
  await make({ name: "cairn-socket-mode01", mode: 0o755 });
  await make({ name: "cairn-socket-young1", isYoung: true });
  await make({ name: "cairn-socket-longer1" });
  await make({ name: "cairn-pg-dead02" });
  await symlink(target, join(parent, "cairn-socket-link01"));
  if (process.getuid?.() === 0) await make({ name: "cairn-socket-other1", userId: 65_534 });
  const before = await readdir(parent);
  await sweepSocketFolders(parent);
  const swept = ["cairn-socket-dead01", "cairn-socket-empty1"];
  expect(await readdir(parent)).toEqual(before.filter((name) => !swept.includes(name)));
  expect(await readdir(target)).toEqual([SOCKET_NAME]);
});

test("sweepSocketFolders() knows the folders that makeSocketFolder() makes", async () => {
  const folder = await makeSocketFolder();
  try {
    const moved = join(parent, folder.slice(folder.lastIndexOf("/") + 1));
    await rename(folder, moved);
    await utimes(moved, AN_HOUR_AGO, AN_HOUR_AGO);
    await sweepSocketFolders(parent);
    expect(await readdir(parent)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("sweepSocketFolders() takes a folder that is not there for no failure", async () => {
  await sweepSocketFolders(join(parent, "none"));
});
