// What every step works with: the server, the folder for files, cairn and its peers as commands.

import { access, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { cleanEnvironment } from "../tests/support/server-user.ts";
import { measure, runPlain, type Measurement } from "./measure.ts";
import type { BenchServer } from "./server.ts";

const observeProgram = fileURLToPath(new URL("observe.ts", import.meta.url));
const PASSPHRASE = "a passphrase for the benchmark";

export interface BenchSettings {
  readonly pairs: number;
  /** Where archives and repositories are written. */
  readonly directory: string;
  /** The unpacked package of cairn that is measured. */
  readonly packageDirectory: string;
}

/** See the head of this file. */
export class Bench {
  readonly server: BenchServer;
  readonly settings: BenchSettings;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #program: string;
  #gzip: Measurement | null = null;
  #isPrepared = false;

  constructor(server: BenchServer, settings: BenchSettings) {
    this.server = server;
    this.settings = settings;
    this.#program = join(settings.packageDirectory, "bin/cairn.mjs");
    const clean = cleanEnvironment();
    const path = `${server.tools.binDirectory}:${dirname(process.execPath)}:${clean.PATH ?? ""}`;
    this.#environment = { ...clean, PATH: path, CAIRN_PASSPHRASE: PASSPHRASE };
  }

  path(name: string): string {
    return join(this.settings.directory, name);
  }

  /** Runs `cairn VERB …`; `output` is its result as JSON. */
  async cairn(args: readonly string[], label = `cairn ${args[0]}`): Promise<Measurement> {
    return await this.#run(label, process.execPath, [this.#program, ...args, "--json", "--quiet"]);
  }

  /** Runs observe.ts; threads are counted one by one. */
  async observe(args: readonly string[], label: string): Promise<Measurement> {
    const { packageDirectory } = this.settings;
    return await this.#run(label, process.execPath, [observeProgram, packageDirectory, ...args], true);
  }

  async pgDump(args: readonly string[], label: string): Promise<Measurement> {
    return await this.#run(label, this.server.tools.pgDump, args);
  }

  async pgRestore(args: readonly string[], label: string): Promise<Measurement> {
    return await this.#run(label, this.server.tools.pgRestore, args);
  }

  /** `pg_dump -Fc` with its default gzip: slow, and run once for all steps that ask for it. */
  async gzipDump(): Promise<Measurement> {
    if (this.#gzip !== null) return this.#gzip;
    const file = this.path("gzip.dump");
    this.#gzip = await this.pgDump(["-Fc", "-f", file, "-d", this.server.uri("bench")], "pg_dump -Fc (gzip)");
    await rm(file);
    return this.#gzip;
  }

  /** The archive that `pg_dump -Fc -Z zstd:3` writes. */
  async peerDump(file = this.path("peer.dump")): Promise<Measurement> {
    const args = ["-Fc", "-Z", "zstd:3", "-f", file, "-d", this.server.uri("bench")];
    return await this.#run("pg_dump -Fc -Z zstd:3", this.server.tools.pgDump, args);
  }

  /** A first backup into a new repository. */
  async firstBackup(name = "repository", database = "bench"): Promise<Measurement> {
    const repository = await this.newRepository(name);
    return await this.cairn(["backup", this.server.uri(database), "--repo", repository, "--jobs", "2"]);
  }

  /** A repository with one backup of the data, and the peer's archive of it; made by the step that needs them first. */
  async prepare(): Promise<{ readonly repository: string; readonly archive: string }> {
    if (!this.#isPrepared) {
      if (!(await exists(this.path("repository")))) await this.firstBackup();
      if (!(await exists(this.path("peer.dump")))) await this.peerDump();
      this.#isPrepared = true;
    }
    return { repository: this.path("repository"), archive: this.path("peer.dump") };
  }

  /** Copies a file and makes the copy durable. */
  async copyFile(from: string, to: string): Promise<Measurement> {
    return await this.#run("dd bs=1M conv=fsync", "dd", [`if=${from}`, `of=${to}`, "bs=1M", "conv=fsync"]);
  }

  /** A new encrypted repository; one of that name is removed first. */
  async newRepository(name: string): Promise<string> {
    const directory = this.path(name);
    await rm(directory, { recursive: true, force: true });
    await rm(`${directory}.kit`, { force: true });
    await mkdir(this.settings.directory, { recursive: true });
    await this.cairn(["init", "--repo", directory, "--recovery-kit", `${directory}.kit`]);
    return directory;
  }

  async #run(label: string, program: string, args: readonly string[], withThreads = false): Promise<Measurement> {
    const environment = this.#environment;
    const serverProcessId = this.server.processId;
    const measurement = await measure({ label, program, args, environment, serverProcessId, withThreads });
    process.stderr.write(`  ${label}: ${measurement.wallSeconds.toFixed(2)} s\n`);
    return measurement;
  }
}

/** Bytes of the files in a folder and its folders. */
export async function folderSizeBytes(directory: string): Promise<number> {
  let sizeBytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sizeBytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return sizeBytes;
}

/** First line of what a program says of its version. */
export async function versionOf(program: string): Promise<string> {
  return (await runPlain(program, ["--version"], cleanEnvironment())).split("\n")[0]!.trim();
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
