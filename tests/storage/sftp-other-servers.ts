// SFTP servers other than OpenSSH, for `npm run test:storages`: ProFTPD, which does what Cairn needs, and rclone, which does
// not. Out of Debian packages in the cache folder, on loopback, with a password that stands here.

import { execFile } from "node:child_process";
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, keepServer } from "./keeper.ts";
import { debianTree, greets, loaderOf, openSshTools, servedUser } from "./sftp-servers.ts";

const run = promisify(execFile);

/** What it takes to open a storage on a server. */
export interface OtherServer extends AsyncDisposable {
  uriAt(place: string): string;
  readonly environment: Readonly<Record<string, string>>;
}

/** rclone's SFTP server, of Debian sid: it replaces what it should leave alone. */
export async function startRclone(): Promise<OtherServer> {
  const tree = await debianTree("rclone-sid", "sid", "^(rclone|base-files|lib)", ["rclone", "base-files"]);
  const { sshKeygen } = await openSshTools();
  const folder = await mkdtemp(join(tmpdir(), "cairn-rclone-"));
  const port = await freePort();
  const [hostKey, knownHosts, served] = ["host", "known_hosts", "served"].map((name) => join(folder, name));
  await mkdir(served!);
  await sshKeygen("-q", "-t", "ed25519", "-N", "", "-f", hostKey!);
  await writeFile(knownHosts!, `[127.0.0.1]:${port} ${await readFile(`${hostKey}.pub`, "utf8")}`);
  const login = ["--user", "tester", "--pass", "rclone-tests", "--key", hostKey!];
  const kept = await keepServer({
    command: [join(tree, "usr/bin/rclone"), "serve", "sftp", served!, "--addr", `127.0.0.1:${port}`, ...login],
    environment: { HOME: folder, PATH: process.env["PATH"] ?? "" },
    isReady: async () => await greets(port),
  });
  return {
    uriAt: (place) => `sftp://tester@127.0.0.1:${port}/${place}?known-hosts=${knownHosts}`,
    environment: { HOME: folder, CAIRN_SFTP_PASSWORD: "rclone-tests" },
    [Symbol.asyncDispose]: async () => {
      await kept[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** ProFTPD with mod_sftp, of Debian 12. */
export async function startProFtpd(): Promise<OtherServer> {
  const tree = await debianTree("proftpd-12", "bookworm", "^(proftpd|lib)", ["proftpd-core", "proftpd-mod-crypto"]);
  const { sshKeygen } = await openSshTools();
  const folder = await mkdtemp(join(tmpdir(), "cairn-proftpd-"));
  const port = await freePort();
  const { gid, name, uid } = servedUser();
  const at = (file: string): string => join(folder, file);
  await mkdir(at("home"));
  await sshKeygen("-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", at("host"));
  await writeFile(at("known_hosts"), `[127.0.0.1]:${port} ${await readFile(at("host.pub"), "utf8")}`);
  const { stdout: hash } = await run("openssl", ["passwd", "-6", "proftpd-tests"]);
  const { stdout: group } = await run("id", ["-gn", name]);
  await writeFile(at("passwd"), `tester:${hash.trim()}:${uid}:${gid}::${at("home")}:/bin/sh\n`, { mode: 0o600 });
  await writeFile(at("group"), `tester:x:${gid}:\n`);
  const lines = [
    "ServerType standalone",
    `Port ${port}`,
    "DefaultAddress 127.0.0.1",
    `User ${name}`,
    `Group ${group.trim()}`,
    "UseReverseDNS off",
    "RequireValidShell off",
    `PidFile ${at("pid")}`,
    `ScoreboardFile ${at("scoreboard")}`,
    "DelayEngine off",
    "WtmpLog off",
    "AuthOrder mod_auth_file.c",
    `AuthUserFile ${at("passwd")}`,
    `AuthGroupFile ${at("group")}`,
    `ModulePath ${join(tree, "usr/lib/proftpd")}`,
    "LoadModule mod_sftp.c",
    "AllowOverwrite on",
    "SFTPEngine on",
    `SFTPHostKey ${at("host")}`,
    `SystemLog ${at("log")}`,
  ];
  await writeFile(at("conf"), `${lines.join("\n")}\n`);
  for (const file of [".", "home", "host", "passwd", "group", "conf"]) await chown(at(file), uid, gid);
  const isOther = process.getuid?.() !== uid;
  const asUser = isOther ? ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"] : [];
  const kept = await keepServer({
    command: [...asUser, ...(await loaderOf(tree)), join(tree, "usr/sbin/proftpd"), "-n", "-c", at("conf")],
    environment: { HOME: folder, PATH: process.env["PATH"] ?? "" },
    isReady: async () => await greets(port),
  });
  return {
    uriAt: (place) => `sftp://tester@127.0.0.1:${port}${at("home")}/${place}?known-hosts=${at("known_hosts")}`,
    environment: { HOME: folder, CAIRN_SFTP_PASSWORD: "proftpd-tests" },
    [Symbol.asyncDispose]: async () => {
      await kept[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
