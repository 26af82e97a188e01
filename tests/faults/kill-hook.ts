// Loaded into the command with --import: kills its own process with SIGKILL at the step that KILL_AT names. The command
// itself knows nothing of it; what it calls of node:fs/promises is wrapped, and what it writes on its streams is read.
//
// Steps: `phase NAME` (the line is about to be printed), `result` (before the receipt is printed), and for the objects
// `run`, `pack`, `manifest`: `made` (unfinished file opened), `written` (some bytes), `synced`, `named`
// (its name given, the unfinished one still there), `durable` (folder synced), `deleted`.

import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname } from "node:path";
import { isMainThread } from "node:worker_threads";

const wanted = process.env["KILL_AT"];
const repository = process.env["CAIRN_REPOSITORY"] ?? "";
const phases: Readonly<Record<string, string>> = {
  "opening the repository": "connect",
  "reading the catalog": "contents",
  " tables with ": "read",
  "confirming what was stored": "commit",
};

let packCount = 0;
const namedFolders = new Map<string, string>();
/** The folder of this process's own run, the first that is written: records of dead ones are written and deleted too. */
let ownRun = "";
/** A run that lasts deletes older records of its own before. */
let isManifestNamed = false;

if (isMainThread && wanted !== undefined) install();

function reach(step: string): void {
  if (step !== wanted) return;
  process.kill(process.pid, "SIGKILL");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** What is written in a folder of the repository. */
function kindOf(folder: string): string | null {
  if (!folder.startsWith(repository)) return null;
  const top = folder.slice(repository.length + 1).split("/")[0];
  return top === "packs" ? "pack" : top === "backups" ? "manifest" : top === "runs" ? "run" : null;
}

function install(): void {
  const { link, open, unlink } = fs;
  const wrapped = {
    async open(...args: Parameters<typeof open>) {
      const path = String(args[0]);
      const isUnfinished = basename(path).startsWith(".cairn-tmp-");
      const handle = await open(...args);
      const kind = kindOf(isUnfinished ? dirname(path) : path);
      const folderKind = namedFolders.get(path);
      if (kind !== null && (isUnfinished || folderKind !== undefined)) {
        watchHandle(handle, isUnfinished ? kind : folderKind!, isUnfinished);
      }
      if (!isUnfinished || kind === null) return handle;
      if (kind === "pack") packCount += 1;
      reach(kind === "pack" && packCount === 2 ? "second pack made" : `${kind} made`);
      return handle;
    },
    async link(...args: Parameters<typeof link>) {
      await link(...args);
      const folder = dirname(String(args[1]));
      const kind = kindOf(folder);
      if (kind === null) return;
      isManifestNamed ||= kind === "manifest";
      reach(`${kind} named`);
      namedFolders.set(folder, kind);
    },
    async rename(from: string, to: string) {
      await renameFile(from, to);
      const kind = kindOf(dirname(to));
      if (kind === null) return;
      if (kind === "run") ownRun ||= dirname(to);
      isManifestNamed ||= kind === "manifest";
      reach(`${kind} named`);
      namedFolders.set(dirname(to), kind);
    },
    async unlink(...args: Parameters<typeof unlink>) {
      await unlink(...args);
      if (isManifestNamed && dirname(String(args[0])) === ownRun) reach("run deleted");
    },
  };
  const renameFile = fs.rename;
  Object.assign(fs, wrapped);
  syncBuiltinESMExports();
  watchStreams();
}

function watchHandle(handle: fs.FileHandle, kind: string, isUnfinished: boolean): void {
  const sync = handle.sync.bind(handle);
  const writev = handle.writev.bind(handle);
  handle.sync = async () => {
    await sync();
    reach(`${kind} ${isUnfinished ? "synced" : "durable"}`);
  };
  handle.writev = (async (...args: Parameters<typeof writev>) => {
    const result = await writev(...args);
    reach(`${kind} written`);
    return result;
  }) as typeof handle.writev;
}

function watchStreams(): void {
  const writeError = process.stderr.write.bind(process.stderr) as (...args: unknown[]) => boolean;
  process.stderr.write = (...args: unknown[]) => {
    for (const [text, phase] of Object.entries(phases)) if (String(args[0]).includes(text)) reach(`phase ${phase}`);
    return writeError(...args);
  };
  const writeOutput = process.stdout.write.bind(process.stdout) as (...args: unknown[]) => boolean;
  process.stdout.write = (...args: unknown[]) => {
    reach("result");
    return writeOutput(...args);
  };
}

/** The steps of a backup of three tables, in their order. */
export const STEPS = [
  "phase connect",
  "phase contents",
  ...["made", "written", "synced", "named", "durable"].map((step) => `run ${step}`),
  "phase read",
  ...["made", "written", "synced", "named", "durable"].map((step) => `pack ${step}`),
  "second pack made",
  "phase commit",
  ...["made", "written", "synced", "named", "durable"].map((step) => `manifest ${step}`),
  "run deleted",
  "result",
] as const;
