// The user that test servers run as: PostgreSQL refuses root. As root, "postgres" where it exists, else "nobody";
// as an ordinary user, that user.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { chown } from "node:fs/promises";
import { promisify } from "node:util";

/** Ids to spawn with; undefined when the current user serves. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The user to run servers as, or undefined when this process's own user will do. */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of ["postgres", "nobody"]) {
    const fields = users.find((candidate) => candidate[0] === name);
    if (fields) return { name, uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('no user "postgres" or "nobody" to run PostgreSQL as; it refuses to run as root');
}

/** Options for spawn() that make the child the server user's, with an environment free of PG* settings. */
export function serverSpawnOptions(): { env: NodeJS.ProcessEnv; cwd: string; uid?: number; gid?: number } {
  const user = serverUser();
  const base = { env: cleanEnvironment(), cwd: "/" };
  return user ? { ...base, uid: user.uid, gid: user.gid } : base;
}

/** Runs a command as the server user and returns its standard output; throws with its standard error. */
export async function runAsServerUser(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const options = serverSpawnOptions();
  const env = { ...options.env, ...environment };
  const { stdout } = await promisify(execFile)(command, [...args], { ...options, env, maxBuffer: 64 << 20 });
  return stdout;
}

/** Gives a path to the server user, where that is another user than this process's. */
export async function giveToServerUser(path: string): Promise<void> {
  const user = serverUser();
  if (user) await chown(path, user.uid, user.gid);
}

/** The environment without PG* and CAIRN_*, in one locale, for PostgreSQL's own tools. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|CAIRN_|LC_|LANG|LANGUAGE$)/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: "C.UTF-8" };
}
