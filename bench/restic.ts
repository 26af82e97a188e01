// restic as a peer: a repository of its own that keeps plain dumps. Only where it is installed.

import { rm } from "node:fs/promises";

import { cleanEnvironment } from "../tests/support/server-user.ts";
import { folderSizeBytes, type Bench } from "./bench.ts";
import { runPlain } from "./measure.ts";

/** See the head of this file. */
export class Restic implements AsyncDisposable {
  readonly version: string;
  readonly #bench: Bench;
  readonly #repository: string;
  readonly #environment: NodeJS.ProcessEnv;

  private constructor(bench: Bench, version: string) {
    this.version = version;
    this.#bench = bench;
    this.#repository = bench.path("restic");
    this.#environment = {
      ...cleanEnvironment(),
      RESTIC_REPOSITORY: this.#repository,
      RESTIC_PASSWORD: "for a benchmark",
    };
  }

  /** A new repository; null, said on standard error, where there is no restic. */
  static async create(bench: Bench): Promise<Restic | null> {
    const version = await runPlain("restic", ["version"]).catch(() => null);
    if (version === null) {
      process.stderr.write("  restic is not installed: what it would keep is not measured\n");
      return null;
    }
    const restic = new Restic(bench, version.trim());
    await rm(restic.#repository, { recursive: true, force: true });
    await runPlain("restic", ["init", "-q", "--no-cache"], restic.#environment);
    return restic;
  }

  /** Keeps a plain dump; gives the repository's size before it, and by how much it grew. */
  async keep(dumpArgs: readonly string[]): Promise<{ readonly beforeBytes: number; readonly grownBytes: number }> {
    const beforeBytes = await folderSizeBytes(this.#repository);
    const file = this.#bench.path("plain.sql");
    await this.#bench.pgDump(["-f", file, ...dumpArgs], "pg_dump");
    await runPlain("restic", ["backup", "-q", "--no-cache", file], this.#environment);
    await rm(file);
    return { beforeBytes, grownBytes: (await folderSizeBytes(this.#repository)) - beforeBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#repository, { recursive: true, force: true });
  }
}
