// What a server may say of a folder that OpenSSH never does.

import { expect, test } from "vitest";
import { walk } from "./folders.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import type { SftpRequests } from "./sftp-requests.ts";

const LAST_PAGE = Object.assign(new Error("end of file"), { code: 1 });

type Done = (error: Error | null, value?: unknown) => void;

/** A server whose folders hold these names, page by page; a folder's name ends with "/". */
function serverOf(folders: Readonly<Record<string, readonly (readonly string[])[]>>): SftpRequests {
  const pages = new Map<string, (readonly string[])[]>();
  const sftp = {
    opendir: (path: string, done: Done) => {
      pages.set(path, [...(folders[path] ?? [])]);
      done(null, path);
    },
    readdir: (handle: string, done: Done) => {
      const page = pages.get(handle)?.shift();
      if (page === undefined) return done(LAST_PAGE);
      const entries = page.map((name, index) => ({
        filename: name.replace("/", ""),
        attrs: { mode: 0, mtime: 1, size: index, isDirectory: () => name.endsWith("/"), isFile: () => true },
      }));
      done(null, entries);
    },
    close: (_: string, done: Done) => done(null),
  };
  const request = async (send: (to: typeof sftp, done: Done) => void): Promise<unknown> =>
    await new Promise((resolve, reject) => send(sftp, (error, value) => (error ? reject(error) : resolve(value))));
  const connection = { request } as unknown as SftpConnection;
  const run = async (_: unknown, work: (at: SftpConnection) => Promise<unknown>): Promise<unknown> =>
    await work(connection);
  return { location: { root: "/top" }, run } as unknown as SftpRequests;
}

test("walk() gives each name once, in order, however often and wherever the server says it", async () => {
  const server = serverOf({
    "/top": [
      ["d/", "b", "a"],
      ["a", "d/", "c", "b"],
    ],
    "/top/d": [["y", "x"], ["x"]],
  });
  const names: string[] = [];
  for await (const { name } of walk(server, "", "", undefined)) names.push(name);
  expect(names).toEqual(["a", "b", "c", "d/x", "d/y"]);
});
