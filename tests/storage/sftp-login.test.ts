// Host keys and logins of sftp: repositories, on a real OpenSSH server with keys made by the stock ssh-keygen and held by
// the stock ssh-agent.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isOperatingError } from "../../src/base/errors.ts";
import type { OperatingError } from "../../src/base/errors.ts";
import { openStorage } from "../../src/storage/index.ts";
import { keepServer } from "./keeper.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";

const SECRET = "Kornblume-7193";

/** Writes an object and gives null, or what was thrown: not one word of it may hold the secret. */
async function tryUri(uri: string, environment: Readonly<Record<string, string>> = {}): Promise<OperatingError | null> {
  await using storage = await openStorage(uri, nearSurroundings(environment));
  try {
    await storage.put("x", Buffer.from("1"));
    return null;
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    expect(`${error.message} ${error.detail} ${error.hint} ${String(error.cause)}`).not.toContain(SECRET);
    return error;
  }
}

let server: SftpServer;
beforeAll(async () => {
  server = await SftpServer.start({ hostKeys: ["ed25519", "rsa", "ecdsa"] });
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** A known_hosts file of the given text. */
async function knownHosts(name: string, text: string): Promise<{ readonly "known-hosts": string }> {
  const path = server.file(name);
  await writeFile(path, text);
  return { "known-hosts": path };
}

describe("the host's key", () => {
  const lines = async (): Promise<string[]> => (await readFile(server.file("known_hosts"), "utf8")).trim().split("\n");

  test("is known by a line of any type, by a name that ssh-keygen -H hashed, by a pattern", async () => {
    for (const line of await lines()) {
      expect(await tryUri(server.uriAt("keys", await knownHosts("one", `${line}\n`))), line).toBe(null);
    }
    await knownHosts("hashed", (await lines()).join("\n"));
    await server.tools.sshKeygen("-H", "-f", server.file("hashed"));
    const hashed = await readFile(server.file("hashed"), "utf8");
    expect(hashed).toMatch(/^\|1\|/);
    expect(await tryUri(server.uriAt("keys", { "known-hosts": server.file("hashed") }))).toBe(null);
    const pattern = (await lines())[0]!.replace(/^\S+/, `[127.0.*]:${server.port}`);
    expect(await tryUri(server.uriAt("keys", await knownHosts("pattern", pattern)))).toBe(null);
  });

  test("of an unknown host is refused with its fingerprint and the line to add, which then is enough", async () => {
    const missing = { "known-hosts": server.file("none") };
    const error = await tryUri(server.uriAt("keys", missing));
    expect(error).toMatchObject({ code: "connection_failed", retryable: false });
    expect(error?.message).toContain(`the host 127.0.0.1:${server.port} is not known`);
    const shown = /SHA256:\S+/.exec(error?.detail ?? "")?.[0].replace(/\.$/, "");
    const printed = await server.tools.sshKeygen("-l", "-f", join(server.folder, "host_ed25519.pub"));
    expect(printed.split(" ")[1]).toBe(shown);
    const line = /(\[127\.0\.0\.1\]:\d+ .*)$/.exec(error?.hint ?? "")?.[1] ?? "";
    expect(error?.hint).toContain(server.file("none"));
    expect(await tryUri(server.uriAt("keys", await knownHosts("added", `${line}\n`)))).toBe(null);
  });

  test("that is revoked or changed is refused, and the server gets nothing to see", async () => {
    const [ed25519 = "", ...others] = await lines();
    const revoked = await knownHosts(
      "revoked",
      [ed25519, ...others, `@revoked * ${ed25519.split(" ").slice(1, 3).join(" ")}`].join("\n"),
    );
    expect((await tryUri(server.uriAt("keys", revoked)))?.message).toContain("is revoked");
    const stranger = await server.makeKey("stranger", ["-t", "ed25519"], false);
    const otherKey = (await readFile(`${stranger}.pub`, "utf8")).split(" ").slice(0, 2).join(" ");
    const changed = await knownHosts("changed", `[127.0.0.1]:${server.port} ${otherKey}\n`);
    const before = server.output().length;
    const error = await tryUri(server.uriAt("keys", changed));
    expect(error).toMatchObject({ code: "connection_failed", retryable: false });
    expect(error?.message).toContain("HAS CHANGED");
    expect(error?.detail).toMatch(/It shows the ssh-ed25519 key .*SHA256:.*Known is: ssh-ed25519 SHA256:/);
    expect(error?.hint).toContain("ssh-keygen -R '[127.0.0.1]:");
    expect(server.output().slice(before)).not.toMatch(/Accepted|Failed|publickey/);
  });
});

describe("the login", () => {
  test.each([
    ["ed25519", []],
    ["ecdsa", []],
    ["rsa", ["-b", "2048", "-m", "PEM"]],
  ] as const)("is by an identity file of %s %j", async (type, words) => {
    const identity = await server.makeKey(`key-${type}-${words.length}`, ["-t", type, ...words]);
    expect(await tryUri(server.uriAt("keys", { identity }))).toBe(null);
  });

  test("is by the usual files of a home, and its known_hosts", async () => {
    const home = server.file("home");
    await mkdir(join(home, ".ssh"), { recursive: true });
    await copyFile(server.file("known_hosts"), join(home, ".ssh/known_hosts"));
    const uri = server.uriAt("keys").replace(/\?.*/, "");
    expect(await tryUri(uri, { HOME: home })).toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining(`does not let "${server.user.name}" log in`) as string,
      detail: expect.stringMatching(/Nothing could be tried.*SSH_AUTH_SOCK.*CAIRN_SFTP_PASSWORD/) as string,
    });
    await server.makeKey("home/.ssh/id_ecdsa", ["-t", "ecdsa"], false);
    expect((await tryUri(uri, { HOME: home }))?.detail).toMatch(/Tried: the ecdsa-sha2-nistp256 key file\./);
    await server.makeKey("home/.ssh/id_ed25519", ["-t", "ed25519", "-N", SECRET]);
    expect((await tryUri(uri, { HOME: home }))?.detail).toMatch(
      /id_ed25519 \(it has a passphrase; CAIRN_SFTP_KEY_PASSPHRASE is not set\)/,
    );
    expect(await tryUri(uri, { HOME: home, CAIRN_SFTP_KEY_PASSPHRASE: SECRET })).toBe(null);
    expect(
      await tryUri(server.uriAt("keys", { identity: "~/.ssh/id_ed25519", "known-hosts": "~/.ssh/known_hosts" }), {
        HOME: home,
        CAIRN_SFTP_KEY_PASSPHRASE: SECRET,
      }),
    ).toBe(null);
  });

  test("an identity file that cannot be used is named, with the reason", async () => {
    const closed = await server.makeKey("closed", ["-t", "ed25519", "-N", "another"]);
    await rm(`${closed}.pub`);
    const wrong = await tryUri(server.uriAt("keys", { identity: closed }), { CAIRN_SFTP_KEY_PASSPHRASE: SECRET });
    expect(wrong).toMatchObject({ code: "usage", message: expect.stringContaining("does not open it") as string });
    expect((await tryUri(server.uriAt("keys", { identity: closed })))?.message).toContain("it has a passphrase");
    expect((await tryUri(server.uriAt("keys", { identity: server.file("none") })))?.message).toContain("there is none");
    expect((await tryUri(server.uriAt("keys", { identity: server.file("known_hosts") })))?.message).toContain(
      "no private key",
    );
    const stranger = await server.makeKey("not-let-in", ["-t", "ed25519"], false);
    const refused = await tryUri(server.uriAt("keys", { identity: stranger }));
    expect(refused).toMatchObject({
      code: "permission_denied",
      detail: expect.stringContaining('Tried: "not-let-in".') as string,
    });
  });

  test("is by an agent; of many keys in it, the one that identity= names", async () => {
    const folder = await mkdtemp("/tmp/cairn-agent-");
    const socketPath = join(folder, "agent");
    await using _ = await keepServer({
      command: [...server.tools.agentCommand, "-D", "-a", socketPath],
      environment: {},
      isReady: async () => await isListening(socketPath),
    });
    const agent = { SSH_AUTH_SOCK: socketPath, HOME: folder };
    const uri = (identity?: string): string => {
      const all = new URL(server.uriAt("keys", identity === undefined ? {} : { identity }));
      if (identity === undefined) all.searchParams.delete("identity");
      return all.href;
    };
    const right = await server.makeKey("agent-right", ["-t", "ed25519"]);
    for (let index = 0; index < 7; index += 1) {
      await server.tools.sshAdd(socketPath, await server.makeKey(`agent-${index}`, ["-t", "ed25519"], false));
    }
    expect(await tryUri(uri(), agent)).toMatchObject({
      code: "permission_denied",
      hint: expect.stringContaining("identity=FILE") as string,
    });
    await server.tools.sshAdd(socketPath, right);
    await rm(right);
    expect(await tryUri(uri(`${right}.pub`), agent)).toBe(null);
    await rm(folder, { recursive: true });
    expect(await tryUri(uri(), { ...agent, HOME: "/nonexistent" })).toMatchObject({ code: "permission_denied" });
  });

  test.each(["password", "keyboard-interactive"])("is by %s, from the environment", async (method) => {
    await using asking = await startAskingServer(method);
    const uri = server.uriAt("password", { "known-hosts": asking.knownHosts }, asking.port);
    const bare = uri.replace(/identity=[^&]*&/, "");
    const environment = { HOME: "/nonexistent", CAIRN_SFTP_PASSWORD: SECRET };
    expect(await tryUri(bare, environment)).toBe(null);
    expect(await tryUri(bare, { ...environment, CAIRN_SFTP_PASSWORD: "wrong" })).toMatchObject({
      code: "permission_denied",
      detail: expect.stringContaining(`Tried: ${method}.`) as string,
    });
  });

  test("a server without SFTP, and a port at which nobody answers, are named", async () => {
    await using bare = await SftpServer.start({ hasSftp: false });
    expect(await tryUri(bare.uriAt("x"))).toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("offers no SFTP") as string,
    });
    const error = await tryUri(server.uriAt("x", {}, 1));
    expect(error).toMatchObject({ code: "connection_failed", detail: "It was tried 3 times." });
    expect(error?.hint).toContain("Check host and port");
  });
});

async function isListening(path: string): Promise<boolean> {
  const socket = connect({ path });
  const outcome = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return outcome;
}

/** A server that asks for a password and then serves OpenSSH's own sftp-server: sshd without root cannot check passwords. */
async function startAskingServer(
  method: string,
): Promise<{ readonly port: number; readonly knownHosts: string } & AsyncDisposable> {
  const hostKey = await server.makeKey(`asking-${method}`, ["-t", "ed25519"], false);
  const [program = "", ...words] = server.tools.sftpServerCommand;
  const listener = new ssh2.Server({ hostKeys: [await readFile(hostKey)] }, (client) => {
    client.on("error", () => undefined);
    client.on("authentication", (context) => {
      if (context.method !== method) return context.reject([method as "password"]);
      if (context.method === "password")
        return context.password === SECRET ? context.accept() : context.reject(["password"]);
      if (context.method !== "keyboard-interactive") return context.reject();
      context.prompt([{ prompt: "Password: ", echo: false }], ([answer]) => {
        if (answer === SECRET) context.accept();
        else context.reject([]);
      });
    });
    client.on("session", (accept) => {
      accept().on("subsystem", (acceptSubsystem) => {
        const channel = acceptSubsystem();
        const child = spawn(program, words, { stdio: ["pipe", "pipe", "ignore"] });
        channel.pipe(child.stdin);
        child.stdout.pipe(channel);
      });
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const knownHosts = server.file(`asking-${method}.known`);
  await writeFile(knownHosts, `[127.0.0.1]:${port} ${await readFile(`${hostKey}.pub`, "utf8")}`);
  return {
    port,
    knownHosts,
    [Symbol.asyncDispose]: async () => await new Promise<void>((resolve) => listener.close(() => resolve())),
  };
}
