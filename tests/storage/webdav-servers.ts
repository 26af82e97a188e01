// Real WebDAV servers for tests, out of Debian packages in the cache folder (scripts/debian-tree.sh), started by the tests:
// Apache's mod_dav, in place, as this user or, when that is root, as an ordinary one. rclone's in
// `npm run test:storages`.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { StorageSurroundings } from "../../src/storage/index.ts";
import { cacheDirectory } from "../support/server-packages.ts";
import { giveToServerUser, serverUser } from "../support/server-user.ts";
import { freePort, keepServer } from "./keeper.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const REALM = "cairn tests";
const MODULES =
  "mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest dav dav_fs alias headers mime".split(
    " ",
  );

export const USER = "keeper";
export const READER = "reader";
const PASSWORDS: Readonly<Record<string, string>> = { [USER]: "cairn test: secret", [READER]: "cairn-read-secret" };

export const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

export interface WebdavServer extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** The folder behind "/dav/", where the server's own user writes. */
  readonly folder: string;
}

/** A URI of a place on a server; `login` "digest" is the folder of the same files that asks for it. */
export function uriAt(host: string, place: string, login: "dav" | "digest" | "open" = "dav"): string {
  return `webdav://${host}/${login}/${place}?tls=off`;
}

/** Credentials as a storage's environment has them. */
export function environmentOf(user: string): Record<string, string> {
  return { CAIRN_WEBDAV_USERNAME: user, CAIRN_WEBDAV_PASSWORD: PASSWORDS[user] ?? "wrong" };
}

/** Surroundings of a storage whose server is near: retries without long pauses. */
export function surroundingsOf(user = USER): StorageSurroundings {
  return { environment: environmentOf(user), retries: { policy: { firstDelayMs: 1, delayMsMax: 20 } } };
}

/** Starts Apache: /dav/ asks for Basic, /digest/ for Digest, both show the same files; READER may only read. */
export async function startApache(): Promise<WebdavServer> {
  const tree = await debianTree("apache2-trixie", "trixie", ["apache2-bin", "base-files"]);
  // Run in place, with the tree's own loader and libraries: no root, no chroot.
  const libraries = join(tree, "usr/lib", await firstMatch(join(tree, "usr/lib"), /-linux-gnu$/));
  const loader = join(libraries, await firstMatch(libraries, /^ld-linux-.*\.so\.\d$/));
  const folder = await mkdtemp(join(tmpdir(), "cairn-webdav-"));
  await chmod(folder, 0o755);
  for (const name of ["run", "files"]) {
    await mkdir(join(folder, name));
    await giveToServerUser(join(folder, name));
  }
  await writePasswords(folder);
  const port = await freePort();
  await writeFile(join(folder, "httpd.conf"), configuration(tree, folder, port));
  const server = await keepServer({
    command: [
      loader,
      "--library-path",
      libraries,
      join(tree, "usr/sbin/apache2"),
      "-f",
      join(folder, "httpd.conf"),
      "-DFOREGROUND",
    ],
    // The lock database's driver is looked for there.
    environment: { PATH: process.env["PATH"] ?? "", LD_LIBRARY_PATH: join(libraries, "apr-util-1") },
    isReady: async (output) => {
      if (/error|AH\d+:/.test(output)) throw new Error(`Apache did not start:\n${output}`);
      return await answers(`http://127.0.0.1:${port}/`);
    },
  });
  return {
    host: `127.0.0.1:${port}`,
    folder: join(folder, "files"),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** Starts rclone's WebDAV server (Go's own, x/net/webdav). */
export async function startRclone(): Promise<WebdavServer> {
  const tree = await debianTree("rclone-sid", "sid", ["rclone", "base-files"]);
  const folder = await mkdtemp(join(tmpdir(), "cairn-rclone-"));
  const port = await freePort();
  // Without a password: it would be hashed anew, slowly, for each request.
  const settings = ["--baseurl", "dav", "--dir-cache-time", "0s"];
  const server = await keepServer({
    command: [join(tree, "usr/bin/rclone"), "serve", "webdav", folder, "--addr", `127.0.0.1:${port}`, ...settings],
    environment: { HOME: folder, PATH: process.env["PATH"] ?? "" },
    isReady: async () => await answers(`http://127.0.0.1:${port}/`),
  });
  return {
    host: `127.0.0.1:${port}`,
    folder,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

function configuration(tree: string, folder: string, port: number): string {
  const user = serverUser();
  const files = join(folder, "files");
  const access = `
    Dav On
    <Limit GET HEAD OPTIONS PROPFIND>
      Require valid-user
    </Limit>
    <LimitExcept GET HEAD OPTIONS PROPFIND>
      Require user ${USER}
    </LimitExcept>`;
  return `
${MODULES.map((name) => `LoadModule ${name}_module ${join(tree, "usr/lib/apache2/modules", `mod_${name}.so`)}`).join("\n")}
ServerRoot ${folder}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
${user === undefined ? "" : `User "#${user.uid}"\nGroup "#${user.gid}"`}
PidFile ${folder}/run/pid
ErrorLog ${folder}/run/errors
LogLevel warn
TypesConfig /dev/null
DefaultRuntimeDir ${folder}/run
DavLockDB ${folder}/run/locks
DocumentRoot ${folder}
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAliveTimeout 15
MaxKeepAliveRequests 0
Alias /dav ${files}
Alias /digest ${files}
<Location /dav>
    AuthType Basic
    AuthName "${REALM}"
    AuthUserFile ${folder}/basic${access}
</Location>
<Location /digest>
    AuthType Digest
    AuthName "${REALM}"
    AuthDigestDomain /digest
    AuthDigestNonceLifetime 1
    AuthUserFile ${folder}/digest${access}
</Location>
`;
}

async function writePasswords(folder: string): Promise<void> {
  const hash = (algorithm: string, text: string, encoding: "hex" | "base64"): string =>
    createHash(algorithm).update(text).digest(encoding);
  const all = Object.entries(PASSWORDS);
  const basic = all.map(([user, password]) => `${user}:{SHA}${hash("sha1", password, "base64")}\n`);
  const digest = all.map(
    ([user, password]) => `${user}:${REALM}:${hash("md5", `${user}:${REALM}:${password}`, "hex")}\n`,
  );
  await writeFile(join(folder, "basic"), basic.join(""));
  await writeFile(join(folder, "digest"), digest.join(""));
}

async function debianTree(name: string, suite: string, packages: readonly string[]): Promise<string> {
  const tree = join(cacheDirectory(), name);
  if (await access(tree).then(() => true, () => false)) return tree; // prettier-ignore
  process.stderr.write(`storage tests: unpacking ${packages[0]} of Debian ${suite} into ${tree}\n`);
  await promisify(execFile)(join(root, "scripts/debian-tree.sh"), [suite, tree, ".", ...packages]);
  return tree;
}

async function firstMatch(folder: string, pattern: RegExp): Promise<string> {
  const found = (await readdir(folder)).find((name) => pattern.test(name));
  if (found === undefined) throw new Error(`nothing in ${folder} matches ${pattern}`);
  return found;
}

async function answers(url: string): Promise<boolean> {
  try {
    await fetch(url);
    return true;
  } catch {
    return false;
  }
}
