// Real SFTP servers for tests, started by the tests, on loopback, for one user without any rights: OpenSSH out of Debian
// packages in the cache folder (scripts/debian-tree.sh), run in place with the tree's own loader and libraries. As root, a
// user of the system is borrowed for it; nothing of the system is changed.

import { execFile } from "node:child_process";
import { access, chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { StorageSurroundings } from "../../src/storage/index.ts";
import { cacheDirectory } from "../support/server-packages.ts";
import { freePort, keepServer } from "./keeper.ts";
import type { KeptServer } from "./keeper.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** What sshd and its tools need, with their own C library; Perl's packages, which apt brings along, stay away. */
const KEPT_PACKAGES = "^(openssh|lib[^-]*_|lib[a-z0-9.+]+-?[0-9a-z.+]*_)";
/** Users of every Debian system, best first: sshd takes nobody whose account is locked, and "nobody" can be. */
const BORROWED_USERS = ["postgres", "daemon", "games"];

const run = promisify(execFile);

/** Whom the server serves, and whose files there are. */
export interface ServedUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** This process's own user; as root another one. */
export function servedUser(): ServedUser {
  const { gid, uid, username } = userInfo();
  if (uid !== 0) return { name: username, uid, gid };
  const users = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":")); // prettier-ignore
  for (const name of BORROWED_USERS) {
    const fields = users.find((candidate) => candidate[0] === name);
    if (fields) return { name, uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error(`none of the users ${BORROWED_USERS.join(", ")} is there to run sshd as`);
}

/** Tools of OpenSSH by name, to be run in place. */
export interface OpenSshTools {
  readonly sshKeygen: (...words: readonly string[]) => Promise<string>;
  /** Loads a key without a passphrase into the agent at that socket. */
  readonly sshAdd: (socketPath: string, keyPath: string) => Promise<void>;
  readonly sshdCommand: readonly string[];
  readonly agentCommand: readonly string[];
  readonly sftpServerCommand: readonly string[];
}

/** OpenSSH of Debian 12. */
export async function openSshTools(): Promise<OpenSshTools> {
  const tree = await debianTree("openssh-12", "bookworm", KEPT_PACKAGES, ["openssh-server", "openssh-client"]);
  const inPlace = await loaderOf(tree);
  const tool = (path: string): string[] => [...inPlace, join(tree, path)];
  return {
    sshKeygen: async (...words) => {
      const [program = "", ...before] = tool("usr/bin/ssh-keygen");
      return (await run(program, [...before, ...words])).stdout;
    },
    sshAdd: async (socketPath, keyPath) => {
      const [program = "", ...before] = tool("usr/bin/ssh-add");
      await run(program, [...before, "-q", keyPath], { env: { SSH_AUTH_SOCK: socketPath } });
    },
    // -r: it does not start itself again, which only its own loader could do.
    sshdCommand: [...tool("usr/sbin/sshd"), "-r", "-D", "-e"],
    agentCommand: tool("usr/bin/ssh-agent"),
    sftpServerCommand: tool("usr/lib/openssh/sftp-server"),
  };
}

/** Settings of a server. */
export interface SftpServerOptions {
  /** More lines of sshd_config. */
  readonly settings?: readonly string[];
  /** Types of its host keys: those of ssh-keygen -t. */
  readonly hostKeys?: readonly string[];
  /** A script that ends with exec "$@": limits for the server; its $0 is the home. */
  readonly wrapper?: string;
  /** More words for internal-sftp. */
  readonly sftpWords?: readonly string[];
  /** False: it has no SFTP. */
  readonly hasSftp?: boolean;
}

/** A running OpenSSH server with a folder of its own. */
export class SftpServer implements AsyncDisposable {
  readonly user: ServedUser;
  readonly port: number;
  /** Its folder: keys, settings; `home` below it is where files are written. */
  readonly folder: string;
  readonly home: string;
  readonly tools: OpenSshTools;
  readonly #options: SftpServerOptions;
  #kept: KeptServer | null = null;

  private constructor(folder: string, port: number, tools: OpenSshTools, options: SftpServerOptions) {
    this.user = servedUser();
    this.folder = folder;
    this.home = join(folder, "home");
    this.port = port;
    this.tools = tools;
    this.#options = options;
  }

  static async start(options: SftpServerOptions = {}): Promise<SftpServer> {
    const tools = await openSshTools();
    const folder = await mkdtemp(join(tmpdir(), "cairn-sshd-"));
    const server = new SftpServer(folder, await freePort(), tools, options);
    await server.#prepare();
    await server.begin();
    return server;
  }

  /** A private file of the tests' own: keys, known_hosts. */
  file(name: string): string {
    return join(this.folder, "client", name);
  }

  /** A key pair of the tests; its public half is let in unless told otherwise. */
  async makeKey(name: string, words: readonly string[], isLetIn = true): Promise<string> {
    const path = this.file(name);
    await this.tools.sshKeygen("-q", "-f", path, ...(words.includes("-N") ? words : [...words, "-N", ""]));
    if (isLetIn) await writeFile(join(this.folder, "authorized"), await readFile(`${path}.pub`), { flag: "a" });
    return path;
  }

  /** Makes new host keys and known_hosts; a server at work keeps the ones that it has. */
  async makeHostKeys(types: readonly string[] = this.#options.hostKeys ?? ["ed25519"]): Promise<void> {
    const lines: string[] = [];
    for (const type of types) {
      const path = join(this.folder, `host_${type}`);
      await rm(path, { force: true });
      await this.tools.sshKeygen("-q", "-t", type, "-N", "", "-f", path);
      await chown(path, this.user.uid, this.user.gid);
      lines.push(`[127.0.0.1]:${this.port} ${await readFile(`${path}.pub`, "utf8")}`);
    }
    await writeFile(join(this.folder, "client/known_hosts"), lines.join(""));
  }

  async #prepare(): Promise<void> {
    const { gid, uid } = this.user;
    await chmod(this.folder, 0o755);
    for (const name of ["home", "client"]) await mkdir(join(this.folder, name), { mode: 0o700 });
    await chown(this.home, uid, gid);
    await this.makeHostKeys();
    await writeFile(join(this.folder, "authorized"), "");
    await this.makeKey("id", ["-t", "ed25519"]);
  }

  /** Starts it, or starts it again after end(). */
  async begin(settings: readonly string[] = this.#options.settings ?? []): Promise<void> {
    const { folder, home, port, user } = this;
    const { hasSftp = true, sftpWords = [] } = this.#options;
    const hostKeys = (this.#options.hostKeys ?? ["ed25519"]).map((type) => `HostKey ${join(folder, `host_${type}`)}`);
    const lines = [
      ...settings,
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...hostKeys,
      "PidFile none",
      "UsePAM no",
      "StrictModes no",
      "MaxStartups 100",
      `AuthorizedKeysFile ${join(folder, "authorized")}`,
      ...(hasSftp ? [`Subsystem sftp internal-sftp -d ${home} ${sftpWords.join(" ")}`] : []),
    ];
    await writeFile(join(folder, "sshd_config"), `${lines.join("\n")}\n`);
    const isOther = process.getuid?.() !== user.uid;
    const asUser = ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
    const wrapper = this.#options.wrapper === undefined ? [] : ["sh", "-c", this.#options.wrapper, home];
    this.#kept = await keepServer({
      command: [...wrapper, ...(isOther ? asUser : []), ...this.tools.sshdCommand, "-f", join(folder, "sshd_config")],
      environment: { PATH: process.env["PATH"] ?? "", HOME: home },
      isReady: async () => await greets(port),
    });
  }

  /** What it has said so far. */
  output(): string {
    return this.#kept?.output() ?? "";
  }

  /** Ends the listener and kills those that serve: as when a host goes down. */
  async end(): Promise<void> {
    const serving = await this.#serving();
    await this.#kept?.[Symbol.asyncDispose]();
    this.#kept = null;
    killAll(serving);
  }

  /** Kills those that serve connections; the listener stays. */
  async killSessions(): Promise<void> {
    killAll(await this.#serving());
  }

  /** All below the listener, whose parent is the keeper's shell: that one has this server's folder among its words. */
  async #serving(): Promise<number[]> {
    const parents = new Map<number, number>();
    let keeper = -1;
    for (const id of await readdir("/proc")) {
      if (!/^\d+$/.test(id)) continue;
      const words = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
      if (words.includes("\0keeper\0") && words.includes(join(this.folder, "sshd_config"))) keeper = Number(id);
      const status = await readFile(`/proc/${id}/stat`, "utf8").catch(() => "");
      parents.set(Number(id), Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[1]));
    }
    const childrenOf = (wanted: number): number[] =>
      [...parents].flatMap(([id, above]) => (above === wanted ? [id] : []));
    const below = (id: number): number[] => childrenOf(id).flatMap((child) => [child, ...below(child)]);
    return keeper < 0 ? [] : childrenOf(keeper).flatMap(below);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A URI of a place below the home. */
  uriAt(place: string, settings: Readonly<Record<string, string>> = {}, port = this.port): string {
    const all = { identity: this.file("id"), "known-hosts": this.file("known_hosts"), ...settings };
    return `sftp://${this.user.name}@127.0.0.1:${port}${join(this.home, place)}?${new URLSearchParams(all).toString()}`;
  }
}

/** Surroundings of a storage whose server is near: retries without long pauses. */
export function nearSurroundings(environment: Readonly<Record<string, string>> = {}): StorageSurroundings {
  return { environment, retries: { policy: { firstDelayMs: 1, delayMsMax: 50 } } };
}

function killAll(processIds: readonly number[]): void {
  for (const id of processIds) {
    try {
      process.kill(id, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
}

/** Debian packages, unpacked into the cache folder. */
export async function debianTree(
  name: string,
  suite: string,
  keep: string,
  packages: readonly string[],
): Promise<string> {
  const tree = join(cacheDirectory(), name);
  if (await access(tree).then(() => true, () => false)) return tree; // prettier-ignore
  process.stderr.write(`storage tests: unpacking ${packages[0]} of Debian ${suite} into ${tree}\n`);
  await run(join(root, "scripts/debian-tree.sh"), [suite, tree, keep, ...packages]);
  return tree;
}

/** The words before a program of a tree of Debian 12, with which it finds its libraries. */
export async function loaderOf(tree: string): Promise<string[]> {
  const folder = join(tree, "lib", await firstMatch(join(tree, "lib"), /-linux-gnu$/));
  const loader = join(folder, await firstMatch(folder, /^ld-linux-.*\.so\.\d$/));
  return [loader, "--library-path", `${folder}:${join(tree, "usr/lib", basename(folder))}`];
}

async function firstMatch(folder: string, pattern: RegExp): Promise<string> {
  const found = (await readdir(folder)).find((name) => pattern.test(name));
  if (found === undefined) throw new Error(`nothing in ${folder} matches ${pattern}`);
  return found;
}

/** True when an SSH server answers there. */
export async function greets(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}
