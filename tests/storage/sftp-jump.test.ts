// sftp: repositories behind another host (jump=), on two real OpenSSH servers; and what ssh would do by its own settings and
// Cairn does not, said when a connection fails.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isOperatingError } from "../../src/base/errors.ts";
import type { OperatingError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import { namesIn } from "./contract.ts";
import { nearSurroundings, SftpServer } from "./sftp-servers.ts";

const SECRET = "Kornblume-7193";

let target: SftpServer;
let bastion: SftpServer;
beforeAll(async () => {
  [target, bastion] = await Promise.all([SftpServer.start(), SftpServer.start()]);
  await letIn(bastion);
  const known = await Promise.all([target, bastion].map(async (server) => await knownHostsOf(server)));
  await writeFile(target.file("both_known"), known.join(""));
});
afterAll(async () => {
  await target[Symbol.asyncDispose]();
  await bastion[Symbol.asyncDispose]();
});

/** Lets the target's key into a host on the way. */
async function letIn(server: SftpServer): Promise<void> {
  await writeFile(join(server.folder, "authorized"), await readFile(`${target.file("id")}.pub`));
}

async function knownHostsOf(server: SftpServer): Promise<string> {
  return await readFile(server.file("known_hosts"), "utf8");
}

const hop = (server = bastion): string => `${server.user.name}@127.0.0.1:${server.port}`;

function uriThrough(jump: string, settings: Readonly<Record<string, string>> = {}): string {
  return target.uriAt("place", { jump, "known-hosts": target.file("both_known"), ...settings });
}

/** Writes an object and gives null, or what was thrown: not one word of it may hold the secret. */
async function tryUri(uri: string, environment: Readonly<Record<string, string>> = {}): Promise<OperatingError | null> {
  await using storage = await openStorage(uri, nearSurroundings(environment));
  try {
    await storage.put("tried", Buffer.from("1"));
    return null;
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    expect(`${error.message} ${error.detail} ${error.hint} ${String(error.cause)}`).not.toContain(SECRET);
    return error;
  }
}

describe("through another host", () => {
  test("objects are written and read; when it breaks off there, the connection is opened anew", async () => {
    await using storage = await openStorage(uriThrough(hop()), nearSurroundings());
    const bytes = Buffer.alloc(5 * MIB, "through");
    await storage.put("large", bytes, { ifAbsent: true });
    expect(Buffer.compare(await storage.read("large"), bytes)).toBe(0);
    expect(bastion.output()).toContain("Accepted publickey");
    expect(storage.retryCount).toBe(0);
    await bastion.killSessions();
    expect(Buffer.compare(await storage.read("large", { offset: MIB, lengthBytes: 7 }), Buffer.from("through".repeat(2)).subarray(MIB % 7, MIB % 7 + 7))).toBe(0); // prettier-ignore
    expect(storage.retryCount).toBeGreaterThanOrEqual(1);
    expect(await namesIn(storage)).toEqual(["large"]);
  });

  test("and through several", async () => {
    expect(await tryUri(uriThrough(`${hop()},${hop()}`))).toBe(null);
  });

  test("whose key is not known nothing is sent", async () => {
    const before = bastion.output().length;
    const error = await tryUri(uriThrough(hop(), { "known-hosts": target.file("known_hosts") }));
    expect(error).toMatchObject({ code: "connection_failed", retryable: false });
    expect(error?.message).toContain(`the host 127.0.0.1:${bastion.port} is not known`);
    expect(bastion.output().slice(before)).not.toMatch(/Accepted|publickey/);
  });

  test("the target's key counts, not that of the host on the way", async () => {
    await writeFile(target.file("bastion_known"), await knownHostsOf(bastion));
    const error = await tryUri(uriThrough(hop(), { "known-hosts": target.file("bastion_known") }));
    expect(error?.message).toContain(`the host 127.0.0.1:${target.port} is not known`);
  });

  test("that does not let log in is named, and got no password", async () => {
    const stranger = await target.makeKey("stranger", ["-t", "ed25519"]);
    const before = bastion.output().length;
    const error = await tryUri(uriThrough(hop(), { identity: stranger }), { CAIRN_SFTP_PASSWORD: SECRET });
    expect(error).toMatchObject({ code: "permission_denied" });
    expect(error?.message).toContain(`127.0.0.1:${bastion.port} does not let "${bastion.user.name}" log in`);
    expect(error?.detail).toContain("no password (hosts on the way get none)");
    expect(bastion.output().slice(before)).not.toContain("password");
  });

  test("that forwards nothing is named, with the cure", async () => {
    await using closed = await SftpServer.start({ settings: ["AllowTcpForwarding no"] });
    await letIn(closed);
    await writeFile(target.file("closed_known"), (await knownHostsOf(closed)) + (await knownHostsOf(target)));
    const error = await tryUri(uriThrough(hop(closed), { "known-hosts": target.file("closed_known") }));
    expect(error).toMatchObject({ code: "connection_failed", retryable: false });
    expect(error?.message).toContain(
      `no SSH connection with 127.0.0.1:${target.port} through 127.0.0.1:${closed.port}: it lets nothing through`,
    );
    expect(error?.hint).toContain("AllowTcpForwarding");
  });

  test("behind which nobody answers is told apart from a host that is down", async () => {
    const uri = uriThrough(hop()).replace(`@127.0.0.1:${target.port}/`, "@127.0.0.1:1/");
    expect((await tryUri(uri))?.message).toContain(`127.0.0.1:1 through 127.0.0.1:${bastion.port}`);
    expect((await tryUri(uriThrough("me@127.0.0.1:1")))?.message).toContain("no SSH connection with 127.0.0.1:1: ");
  });
});

describe("what ssh would do", () => {
  test("by ~/.ssh/config is said when a connection fails", async () => {
    const home = target.file("home");
    await mkdir(join(home, ".ssh"), { recursive: true });
    const config = `Host 127.*\n  ProxyJump bastion\n  ProxyCommand nc ${SECRET}\n  CertificateFile ~/x-cert.pub\n`;
    await writeFile(join(home, ".ssh/config"), config);
    const error = await tryUri(target.uriAt("place", { "known-hosts": target.file("none") }), { HOME: home });
    expect(error).toMatchObject({ code: "connection_failed" });
    expect(error?.detail).toContain(`${join(home, ".ssh/config")} is not read. Of this host it says: `);
    expect(error?.detail).toContain("ProxyJump bastion (give jump=USER@HOST:PORT in the URI)");
    expect(error?.detail).toContain("CertificateFile ~/x-cert.pub (certificates of users are not supported)");
  });

  test("with a user's certificate is named as not supported", async () => {
    const authority = await target.makeKey("authority", ["-t", "ed25519"], false);
    const identity = await target.makeKey("certified", ["-t", "ed25519"], false);
    await target.tools.sshKeygen("-q", "-s", authority, "-I", "test", "-n", target.user.name, `${identity}.pub`);
    const beside = await tryUri(target.uriAt("place", { identity }));
    expect(beside).toMatchObject({ code: "permission_denied" });
    expect(beside?.detail).toContain("certified-cert.pub (OpenSSH certificates of users are not supported)");
    const named = await tryUri(target.uriAt("place", { identity: `${identity}-cert.pub` }));
    expect(named).toMatchObject({ code: "usage" });
    expect(named?.message).toContain("it is a certificate, and OpenSSH certificates of users are not supported");
  });
});
