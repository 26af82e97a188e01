// The command `cairn` as a child process on a repository of a test's own, and a look at what it leaves behind.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { runList, type ListResult } from "../../src/operations/list/index.ts";
import type { OperationContext, RepositoryAccess } from "../../src/operations/operation.ts";
import { runVerify, type VerifyReport } from "../../src/operations/verify/index.ts";
import { createCheapRepository } from "../support/cheap-repository.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import type { ComparedDatabase, CompareOptions } from "../support/compare.ts";
import { clientTools } from "../support/servers.ts";
import type { TestServer } from "../support/servers.ts";

const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));
/** Compiled sources, for all processes that the tests start: each of them starts in half of the time. */
const compileCache = join(tmpdir(), `cairn-tests-compiled-${process.getuid?.() ?? 0}`);
const waitTimeoutMs = 60_000;
const pollIntervalMs = 20;

export const PASSPHRASE = "Grünspan-Zimtstern 4711";

/** How a command ended. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
  /** Standard output as JSON, for commands run with --json. */
  // oxlint-disable-next-line typescript/no-explicit-any -- the shape is each command's own
  readonly json: () => any;
}

/** A command at work. */
export interface Running {
  readonly child: ChildProcess;
  /** What it has said on standard error so far. */
  errors(): string;
  /** Resolves when standard error holds the text. */
  says(text: string): Promise<void>;
  readonly ended: Promise<Outcome>;
}

export interface StartOptions {
  /** Added to the environment; undefined takes a variable away. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Program and arguments before node, e.g. to run in a namespace of its own. */
  readonly wrapper?: readonly string[];
}

/** A folder with a repository `repository` in it, and the command to work on it. */
export class FaultBench implements AsyncDisposable {
  readonly folder: string;
  readonly repository: string;
  readonly environment: Readonly<Record<string, string>>;

  private constructor(folder: string, path: string, repository: string) {
    this.folder = folder;
    this.repository = repository;
    this.environment = {
      PATH: path,
      HOME: folder,
      CAIRN_REPOSITORY: repository,
      CAIRN_PASSPHRASE: PASSPHRASE,
    };
  }

  /** Makes the folder, and in it an encrypted repository unless told otherwise. */
  static async create(
    options: { readonly repository?: "encrypted" | "plain" | "none"; readonly packSizeBytes?: number } = {},
  ): Promise<FaultBench> {
    const folder = await mkdtemp(join(tmpdir(), "cairn-faults-"));
    const tools = await Promise.all([clientTools(18), clientTools(15)]);
    const path = [...tools.map(({ binDirectory }) => binDirectory), process.env["PATH"]].join(delimiter);
    const self = new FaultBench(folder, path, join(folder, "repository"));
    const { repository = "encrypted", packSizeBytes } = options;
    if (repository === "none") return self;
    const passphrase = repository === "encrypted" ? PASSPHRASE : null;
    await createCheapRepository(self.repository, {
      passphrase,
      ...(packSizeBytes === undefined ? {} : { packSizeBytes }),
    });
    return self;
  }

  /** A path in the folder. */
  file(name: string): string {
    return join(this.folder, name);
  }

  start(words: readonly string[], options: StartOptions = {}): Running {
    const [program, ...before] = [...(options.wrapper ?? []), process.execPath];
    const merged = { NODE_COMPILE_CACHE: compileCache, ...this.environment, ...options.environment };
    const env = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined));
    const child = spawn(program, [...before, launcher, ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
    return watch(child);
  }

  async run(words: readonly string[], options: StartOptions = {}): Promise<Outcome> {
    return await this.start(words, options).ended;
  }

  /** Runs a command that must end with exit status 0. */
  async succeeds(words: readonly string[], options: StartOptions = {}): Promise<Outcome> {
    const outcome = await this.run(words, options);
    if (outcome.status === 0) return outcome;
    throw new Error(`cairn ${words.join(" ")} ended with ${outcome.status}:\n${outcome.output}${outcome.errors}`);
  }

  /** Backs up and gives the receipt. */
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON
  async backup(source: string, words: readonly string[] = []): Promise<any> {
    return (await this.succeeds(["backup", source, "--json", ...words])).json();
  }

  /** Verifies and lists in this process: the same as the commands, without the time to start them. */
  async verify(reference: string): Promise<VerifyReport> {
    return await runVerify(quietContext(), { repository: this.access, reference });
  }

  async list(): Promise<ListResult> {
    return await runList(quietContext(), { repository: this.access, lineage: null });
  }

  get access(): RepositoryAccess {
    const askPassphrase = (): Promise<string> => Promise.reject(new Error("nobody is there"));
    return { location: this.repository, givenPassphrase: PASSPHRASE, askPassphrase };
  }

  /** Names of all files of the repository, sorted. */
  async files(): Promise<readonly string[]> {
    const entries = await readdir(this.repository, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return files.map((entry) => join(entry.parentPath, entry.name).slice(this.repository.length + 1)).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

function quietContext(): OperationContext {
  return {
    signal: new AbortController().signal,
    environment: {},
    homeDirectory: "/nonexistent",
    userName: "postgres",
    onEvent: () => undefined,
  };
}

function watch(child: ChildProcess): Running {
  const output: Buffer[] = [];
  let errors = "";
  const waiting: { readonly text: string; readonly resolve: () => void }[] = [];
  child.stdout?.on("data", (bytes: Buffer) => output.push(bytes));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
    for (const one of waiting) if (errors.includes(one.text)) one.resolve();
  });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      const text = Buffer.concat(output).toString("utf8");
      resolve({ status, signal, output: text, errors, json: () => JSON.parse(text) as unknown });
    });
  });
  const says = async (text: string): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push({ text, resolve });
    if (errors.includes(text)) resolve();
    const tooEarly = ended.then((outcome) => {
      if (!outcome.errors.includes(text)) throw new Error(`never said "${text}":\n${outcome.output}${outcome.errors}`);
    });
    await Promise.race([promise, tooEarly]);
  };
  return { child, errors: () => errors, says, ended };
}

/** Waits until a condition holds. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = performance.now() + waitTimeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`waited too long until ${what}`);
    await delay(pollIntervalMs);
  }
}

/** Sessions of Cairn and its pg_dump in a database. */
export async function sessionsIn(pg: TestServer, database: string): Promise<number> {
  const count = await pg.psql(
    "postgres",
    `SELECT count(*) FROM pg_stat_activity WHERE datname = $name$${database}$name$ AND backend_type = 'client backend'`,
  );
  return Number(count);
}

/** Throws with the differences when two databases are not the same. */
export async function expectEqual(
  left: ComparedDatabase,
  right: ComparedDatabase,
  options: CompareOptions = {},
): Promise<void> {
  const comparison = await compareDatabases(left, right, options);
  if (comparison.differences.length > 0) throw new Error(formatDifferences(comparison.differences));
}
