// Where the PostgreSQL of each major comes from, unpacked into the cache folder (CAIRN_TEST_CACHE) on first use:
// 13, 14 and 16 from npm's embedded binaries (server only), 15, 17 and 18 from Debian (server and client tools), and
// Debian's client tools of 13 while its release is still on the mirrors. The torture extension is installed in each.
// Limits: Linux with Debian's apt; the npm binaries are x64 only.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { access, copyFile, cp, mkdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { runAsServerUser } from "./server-user.ts";

/** The majors that tests run on. */
export const MAJORS = [13, 14, 15, 16, 17, 18] as const;
export type Major = (typeof MAJORS)[number];

/** Where an installed server's files are. */
export interface ServerFiles {
  readonly major: Major;
  readonly binDirectory: string;
  readonly shareDirectory: string;
}

/** Stock client tools; `major` is their own, which is the nearest newer one where the server's cannot be had. */
export interface ClientTools {
  readonly major: Major;
  readonly binDirectory: string;
  readonly pgDump: string;
  readonly pgDumpall: string;
  readonly pgRestore: string;
  readonly psql: string;
  readonly pgbench: string;
  readonly pgBasebackup: string;
  readonly vacuumdb: string;
}

const root = fileURLToPath(new URL("../../", import.meta.url));
const debianSuites: Partial<Record<Major, string>> = { 13: "bullseye", 15: "bookworm", 17: "trixie", 18: "sid" };
/** Libraries, but neither LLVM (jit is off) nor what only perl and debconf need. */
const keptLibraries = "lib([^lpz]|l[^l]|p[^e]|z[^3])|gcc-[0-9]+-base|zlib1g";

/** The folder that holds what was fetched; it must be readable by the server user. */
export function cacheDirectory(): string {
  const named = process.env.CAIRN_TEST_CACHE;
  if (named) return named;
  // Root's home is closed to the user that the servers run as.
  if (process.getuid?.() === 0) return "/var/cache/cairn-test";
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "cairn-test");
}

/** The server of a major, installed in the cache if it is not yet. */
export const serverFiles = once(async (major: Major): Promise<ServerFiles> => {
  const files = major === 15 || major === 17 || major === 18 ? await debianFiles(major) : await embeddedFiles(major);
  await runAsServerUser(join(files.binDirectory, "postgres"), ["--version"]).catch((error: unknown) => {
    throw new Error(
      `the user who runs the test servers cannot run "${files.binDirectory}/postgres": ${String(error)}\n` +
        "Set CAIRN_TEST_CACHE to a folder that every user may read.",
    );
  });
  await installTortureExtension(files);
  return files;
});

/** The client tools for a server of a major: its own, or the nearest newer ones that can be had. */
export const clientTools = once(async (major: Major): Promise<ClientTools> => {
  if (major === 14) return clientTools(15);
  if (major === 16) return clientTools(17);
  if (major !== 13) return toolsIn(await debianFiles(major));
  try {
    return toolsIn(await debianFiles(13));
  } catch {
    note("no client tools of PostgreSQL 13 on the mirror; using those of 15");
    return clientTools(15);
  }
});

/** Path of Debian's pgbouncer. */
export async function pgbouncerProgram(): Promise<string> {
  await debianFiles(15);
  return join(cacheDirectory(), "debian-15", "usr/sbin/pgbouncer");
}

async function debianFiles(major: Major): Promise<ServerFiles> {
  const tree = join(cacheDirectory(), `debian-${major}`);
  const patchelfTree = join(cacheDirectory(), "debian-15");
  if (!(await exists(tree))) {
    if (major !== 15) await debianFiles(15);
    note(`unpacking PostgreSQL ${major} of Debian ${debianSuites[major]} into ${tree}`);
    const packages = [`postgresql-${major}`, `postgresql-client-${major}`];
    if (major === 15) packages.push("pgbouncer", "patchelf");
    const keep = `^(${keptLibraries}|patchelf|pgbouncer|postgresql-(client-)?${major})`;
    await run(join(root, "scripts/debian-tree.sh"), [debianSuites[major] ?? "", tree, keep, ...packages], {
      ...process.env,
      CAIRN_PATCHELF_TREE: patchelfTree,
    });
  }
  return {
    major,
    binDirectory: join(tree, "usr/lib/postgresql", String(major), "bin"),
    shareDirectory: join(tree, "usr/share/postgresql", String(major)),
  };
}

async function embeddedFiles(major: Major): Promise<ServerFiles> {
  const source = join(root, "node_modules", `ep${major}`);
  const text = await readFile(join(source, "package.json"), "utf8").catch(() => {
    throw new Error(`PostgreSQL ${major} for tests is not installed (npm package "ep${major}", Linux x64 only)`);
  });
  const { version } = JSON.parse(text) as { version: string };
  const tree = join(cacheDirectory(), `embedded-${version}`);
  if (!(await exists(tree))) {
    note(`copying PostgreSQL ${version} into ${tree}`);
    const unfinished = `${tree}.${process.pid}`;
    await mkdir(cacheDirectory(), { recursive: true });
    await cp(join(source, "native"), unfinished, { recursive: true, verbatimSymlinks: true });
    await makeSymlinks(unfinished);
    await rename(unfinished, tree).catch(() => rm(unfinished, { recursive: true }));
  }
  return { major, binDirectory: join(tree, "bin"), shareDirectory: join(tree, "share/postgresql") };
}

/** npm packages hold no symbolic links: a list beside them says which to make. */
async function makeSymlinks(nativeDirectory: string): Promise<void> {
  const text = await readFile(join(nativeDirectory, "pg-symlinks.json"), "utf8");
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    // Both are written relative to the package, and each link points into its own folder.
    const link = join(nativeDirectory, target.replace(/^native\//, ""));
    await symlink(basename(source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

async function installTortureExtension(files: ServerFiles): Promise<void> {
  for (const name of ["torture_ext.control", "torture_ext--1.0.sql"]) {
    const path = join(files.shareDirectory, "extension", name);
    const written = `${path}.${process.pid}.${randomUUID()}`; // the folder is shared with other runs
    await copyFile(join(root, "tests/data/torture", name), written);
    await rename(written, path);
  }
}

function toolsIn({ major, binDirectory }: ServerFiles): ClientTools {
  return {
    major,
    binDirectory,
    pgDump: join(binDirectory, "pg_dump"),
    pgDumpall: join(binDirectory, "pg_dumpall"),
    pgRestore: join(binDirectory, "pg_restore"),
    psql: join(binDirectory, "psql"),
    pgbench: join(binDirectory, "pgbench"),
    pgBasebackup: join(binDirectory, "pg_basebackup"),
    vacuumdb: join(binDirectory, "vacuumdb"),
  };
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(command, args, { env, stdio: ["ignore", "inherit", "pipe"] });
  let errorText = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errorText += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new Error(`${basename(command)} ${args.join(" ")} failed (status ${status}):\n${errorText}`));
    });
  });
}

function once<Key, Value>(make: (key: Key) => Promise<Value>): (key: Key) => Promise<Value> {
  const made = new Map<Key, Promise<Value>>();
  return (key) => {
    const promise = made.get(key) ?? make(key);
    made.set(key, promise);
    return promise;
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function note(text: string): void {
  process.stderr.write(`test servers: ${text}\n`);
}
