// The command as a user starts it: exit status, what goes to which stream, signals, broken pipes. No server is needed.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-command-"));
});
afterAll(async () => rm(folder, { recursive: true }));

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

function start(words: readonly string[], environment: Record<string, string> = {}) {
  const plain = { PATH: process.env["PATH"], HOME: folder, ...environment };
  return spawn(process.execPath, [launcher, ...words], { env: plain, stdio: ["ignore", "pipe", "pipe"] });
}

async function cairn(words: readonly string[], environment: Record<string, string> = {}): Promise<Outcome> {
  const child = start(words, environment);
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await exited, output, errors };
}

describe("cairn", () => {
  test("--help and --version go to standard output", async () => {
    const help = await cairn(["--help"]);
    expect(help).toMatchObject({ status: 0, errors: "" });
    expect(help.output).toContain("cairn restore latest --repo /backups --to");
    expect(await cairn(["--version"])).toMatchObject({ status: 0, output: "0.1.0\n", errors: "" });
    expect((await cairn(["help", "restore"])).output).toContain("--in-place");
  });

  test("a wrong command line is exit status 2, with what was meant", async () => {
    expect(await cairn(["list", "--jsno"])).toEqual({
      status: 2,
      output: "",
      errors: 'cairn: error: unknown option "--jsno"\nHINT:  Did you mean --json? See "cairn list --help".\n',
    });
    expect(await cairn([])).toMatchObject({ status: 2, output: "" });
    expect(await cairn(["backup", "db", "-h", "localhost"])).toMatchObject({ status: 2, output: "" });
  });

  test("--json gives errors as a document on standard output", async () => {
    const { status, output, errors } = await cairn(["show", "latest", "--json"]);
    expect([status, errors]).toEqual([2, ""]);
    expect(JSON.parse(output)).toMatchObject({ error: { code: "usage", message: "no repository was named" } });
  });

  test("an unreachable repository is exit status 10", async () => {
    const { status, errors } = await cairn(["list", "--repo", join(folder, "nowhere")]);
    expect(status).toBe(10);
    expect(errors).toMatch(/^cairn: error: .*\nHINT: {2}/m);
  });
});

describe("cairn init", () => {
  test("refuses before anything is made when the recovery kit would go into a pipe", async () => {
    const repository = join(folder, "piped");
    const { status, output, errors } = await cairn(["init", "--repo", repository], {
      CAIRN_PASSPHRASE: "long enough 1",
    });
    expect([status, output]).toEqual([2, ""]);
    expect(errors).toContain("--recovery-kit FILE");
    await expect(stat(repository)).rejects.toThrow("ENOENT");
  });

  test("refuses without a passphrase and without a terminal, and leaves nothing", async () => {
    const [repository, kit] = [join(folder, "none"), join(folder, "none.kit")];
    const { status, errors } = await cairn(["init", "--repo", repository, "--recovery-kit", kit]);
    expect(status).toBe(2);
    expect(errors).toContain("no passphrase was given, and there is no terminal to ask for it");
    await expect(stat(kit)).rejects.toThrow("ENOENT");
    await expect(stat(repository)).rejects.toThrow("ENOENT");
  });

  test("writes the recovery kit for its owner alone, and never over a file", async () => {
    const [repository, kit, passphrase] = [join(folder, "repo"), join(folder, "kit"), join(folder, "passphrase")];
    await writeFile(passphrase, "a long passphrase\n", { mode: 0o600 });
    const words = ["init", "--repo", repository, "--passphrase-file", passphrase, "--recovery-kit", kit];
    const { status, output, errors } = await cairn(words);
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    expect(output).toContain(kit);
    expect(output).not.toContain("Recovery key");
    expect((await stat(kit)).mode & 0o777).toBe(0o600);
    expect(await cairn(["list", "--repo", repository], { CAIRN_PASSPHRASE: "a long passphrase" })).toMatchObject({
      status: 0,
      output: "No restore points.\n",
    });
    expect(await cairn(["list", "--repo", repository], { CAIRN_PASSPHRASE: "another one" })).toMatchObject({
      status: 12,
    });
    expect(await cairn(["list", "--repo", repository])).toMatchObject({ status: 2 });
    const [, ...groups] = /Recovery key (\S+)\s+(\S+)/.exec(await readFile(kit, "utf8")) ?? [];
    const recoveryKey = groups.join("");
    expect(await cairn(["list", "--repo", repository], { CAIRN_RECOVERY_KEY: recoveryKey })).toMatchObject({
      status: 0,
    });
    const mistyped = recoveryKey.replace(/^./, (letter) => (letter === "7" ? "8" : "7"));
    const refused = await cairn(["list", "--repo", repository], { CAIRN_RECOVERY_KEY: mistyped });
    expect(refused).toMatchObject({ status: 12, output: "" });
    expect(refused.errors).toContain("group 1 of the recovery key is mistyped");

    await mkdir(join(folder, "other"));
    const again = await cairn(["init", "--repo", join(folder, "other"), ...words.slice(3)]);
    expect(again.status).toBe(2);
    expect(again.errors).toContain("EEXIST");
    expect(await readdir(join(folder, "other"))).toEqual([]);
  });

  test("an unencrypted repository refuses a passphrase with exit status 12", async () => {
    const repository = join(folder, "plain");
    const made = await cairn(["init", "--repo", repository, "--no-encryption", "--json"]);
    expect(JSON.parse(made.output)).toMatchObject({ isEncrypted: false, recoveryKitFile: null });
    expect(await cairn(["list", "--repo", repository])).toMatchObject({ status: 0 });
    expect(await cairn(["list", "--repo", repository], { CAIRN_PASSPHRASE: "some passphrase" })).toMatchObject({
      status: 12,
    });
  });
});

describe("a run", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("is cancelled by %s: exit status %i", async (signalName, status) => {
    // A server that takes connections and never answers.
    await using server = createServer();
    const connected = new Promise<void>((resolve) => {
      server.once("connection", (socket) => resolve(void socket.on("error", () => undefined).resume()));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const child = start(["dump", `postgresql://me@127.0.0.1:${port}/db`, "--file", join(folder, "x.dump")]);
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const errors = text(child.stderr);
    await connected;
    child.kill(signalName);
    expect(await exited).toBe(status);
    expect(await errors).toContain("cairn: error: interrupted");
    expect(await readdir(folder)).not.toContain("x.dump");
  });

  test("whose output nobody reads ends quietly", async () => {
    const child = start(["restore", "--help"]);
    child.stdout.destroy();
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    expect([await text(child.stderr), await exited]).toEqual(["", 0]);
  });
});
