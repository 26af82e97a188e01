// Client certificates against a server that lets users in by them alone: each case is held against the stock psql with the
// same string, environment and home folder.

import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isOperatingError } from "../../src/base/errors.ts";
import { describeEncryption, openSession, resolveConnection, startThrowawayServer } from "../../src/postgres/index.ts";
import type { ThrowawayServer } from "../../src/postgres/index.ts";
import { clientTools } from "../support/servers.ts";
import { makeCertificates } from "./certificates.ts";
import type { TestCertificates } from "./certificates.ts";

const run = promisify(execFile);
const PASSPHRASE = "key's passphrase";
const RULES = [
  "local all all trust",
  "hostssl all cert all cert",
  "hostssl all anyone all trust",
  "hostnossl all anyone all trust",
  "hostssl all verified all trust clientcert=verify-full",
];

let certificates: TestCertificates;
let home = "";
let psql = "";
let server: ThrowawayServer;
let withoutRequest: ThrowawayServer;

const at = (name: string): string => join(certificates.directory, name);

async function start(settings: Record<string, string>, hostBasedAuthentication: string[]): Promise<ThrowawayServer> {
  const files = certificates.serverFiles;
  const started = await startThrowawayServer({ major: 18, tcp: true, hostBasedAuthentication, files, settings });
  await using session = await openSession(started.settings);
  for (const user of ["cert", "anyone", "verified"]) await session.execute(`CREATE ROLE ${user} LOGIN`);
  return started;
}

beforeAll(async () => {
  certificates = await makeCertificates("cert");
  home = at("home");
  await mkdir(home);
  psql = (await clientTools(18)).psql;
  const open = (...words: string[]): Promise<unknown> => run("openssl", words);
  const key = certificates.clientKey;
  await open("pkcs8", "-topk8", "-in", key, "-out", at("encrypted.key"), "-passout", `pass:${PASSPHRASE}`);
  await open("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", key, "-out", at("client.der"));
  await open("req", "-x509", "-days", "2", "-key", at("other.key"), "-subj", "/CN=cert", "-out", at("foreign.crt"));
  const issue = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial"];
  await open("req", "-new", "-key", key, "-subj", "/CN=stranger", "-out", at("stranger.csr"));
  await open("x509", "-req", "-days", "2", "-in", at("stranger.csr"), ...issue, "-out", at("stranger.crt"));
  await revokeServer(open);
  for (const [name, mode] of [
    ["group.key", 0o640],
    ["world.key", 0o644],
  ] as const) {
    await copyFile(key, at(name));
    await chmod(at(name), mode);
  }
  [server, withoutRequest] = await Promise.all([
    start({ ssl: "on", ssl_ca_file: "root.crt" }, RULES),
    start(
      { ssl: "on" },
      RULES.filter((line) => !/cert$|clientcert/.test(line)),
    ),
  ]);
});

afterAll(async () => {
  await Promise.all([server[Symbol.asyncDispose](), withoutRequest[Symbol.asyncDispose]()]);
  await certificates[Symbol.asyncDispose]();
});

/** Makes a list of revocations with nothing in it, and one with the server's certificate. */
async function revokeServer(open: (...words: string[]) => Promise<unknown>): Promise<void> {
  const section = `[ca]\ndefault_ca=x\n[x]\ndatabase=${at("index.txt")}\ndefault_md=sha256\ndefault_crl_days=2\n`;
  await writeFile(at("ca.conf"), section);
  await writeFile(at("index.txt"), "");
  const authority = ["ca", "-config", at("ca.conf"), "-cert", at("ca.crt"), "-keyfile", at("ca.key")];
  await open(...authority, "-gencrl", "-out", at("empty.crl"));
  await open(...authority, "-revoke", at("server.crt"));
  await open(...authority, "-gencrl", "-out", at("revoked.crl"));
}

type Environment = Readonly<Record<string, string>>;
type Outcome = "tls" | "plain" | "error";

const SQL = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

const fill = (text: string): string => text.replaceAll("DIR", certificates.directory);

async function connectOurs(source: string, environment: Environment): Promise<{ outcome: Outcome; text: string }> {
  const settings = await resolveConnection({ source, environment, homeDirectory: home, userName: "x" });
  try {
    await using session = await openSession(settings);
    return { outcome: session.connection.isTls ? "tls" : "plain", text: describeEncryption(session.connection) };
  } catch (error) {
    const text = `${String(error)} ${JSON.stringify(error)}`;
    if (!isOperatingError(error, "connection_failed") || text.includes(PASSPHRASE)) throw error;
    return { outcome: "error", text };
  }
}

async function stock(source: string, environment: Environment): Promise<Outcome> {
  const options = { env: { HOME: home, PATH: "/usr/bin:/bin", ...environment } };
  const done = await run(psql, ["-X", "-w", "-A", "-t", "-c", SQL, "-d", source], options).catch(() => null);
  return done === null ? "error" : done.stdout.trim() === "t" ? "tls" : "plain";
}

async function both(parameters: string, environment: Environment = {}, to = server): Promise<[Outcome, Outcome]> {
  const source = `host=localhost port=${to.port} dbname=postgres gssencmode=disable ${fill(parameters)}`;
  const filled = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, fill(value)]));
  return [(await connectOurs(source, filled)).outcome, await stock(source, filled)];
}

describe("connectAuthenticated() with a client certificate is as psql", () => {
  test.each<[string, Outcome]>([
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/client.key", "tls"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/client.key sslcertmode=require", "tls"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/client.key sslcertmode=disable", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/client.der", "tls"],
    ["user=cert", "error"],
    ["user=cert sslcert=DIR/stranger.crt sslkey=DIR/client.key", "error"],
    ["user=cert sslcert=DIR/foreign.crt sslkey=DIR/other.key sslmode=require", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/other.key sslmode=require", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/none.key sslmode=require", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/client.crt sslmode=require", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/world.key sslmode=require", "error"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/encrypted.key sslpassword='key\\'s passphrase'", "tls"],
    ["user=cert sslcert=DIR/client.crt sslkey=DIR/encrypted.key sslpassword=wrong sslmode=require", "error"],
    ["user=verified sslcert=DIR/client.crt sslkey=DIR/client.key", "error"],
    // What cannot be done with TLS is done without by prefer, and by nobody else.
    ["user=anyone sslcert=DIR/client.crt sslkey=DIR/other.key sslmode=prefer", "plain"],
    ["user=anyone sslcert=DIR/client.crt sslkey=DIR/world.key sslmode=prefer", "plain"],
    ["user=anyone sslcert=DIR/client.crt sslkey=DIR/world.key sslmode=allow", "plain"],
    ["user=anyone sslcert=DIR/client.crt sslkey=DIR/none.key sslmode=disable", "plain"],
    ["user=anyone sslmode=verify-full sslrootcert=DIR/ca.crt sslcrl=DIR/empty.crl", "tls"],
    ["user=anyone sslmode=verify-full sslrootcert=DIR/ca.crt sslcrl=DIR/revoked.crl", "error"],
  ])("%s: %s", async (parameters, expected) => {
    expect(await both(parameters)).toEqual([expected, expected]);
  });

  test("a key that its group may read: only root's", async () => {
    const isRoot = process.getuid?.() === 0;
    const expected = isRoot ? "tls" : "error";
    const parameters = "user=cert sslcert=DIR/client.crt sslkey=DIR/group.key sslmode=require";
    expect(await both(parameters)).toEqual([expected, expected]);
  });

  test("PGSSLCERT, PGSSLKEY and PGSSLCERTMODE", async () => {
    const environment = { PGSSLCERT: "DIR/client.crt", PGSSLKEY: "DIR/client.key", PGUSER: "cert" };
    expect(await both("", environment)).toEqual(["tls", "tls"]);
    expect(await both("", { ...environment, PGSSLCERTMODE: "disable" })).toEqual(["error", "error"]);
  });

  test("the default files in ~/.postgresql, which count when they are there", async () => {
    const folder = join(home, ".postgresql");
    await mkdir(folder);
    try {
      await copyFile(certificates.clientCertificate, join(folder, "postgresql.crt"));
      expect(await both("user=cert sslmode=require")).toEqual(["error", "error"]); // without its key
      await copyFile(certificates.clientKey, join(folder, "postgresql.key"));
      expect(await both("user=cert")).toEqual(["tls", "tls"]);
      await chmod(join(folder, "postgresql.key"), 0o644);
      expect(await both("user=cert sslmode=require")).toEqual(["error", "error"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("sslcertmode=require: a server that does not ask for the certificate is refused", async () => {
    const parameters = "user=anyone sslcert=DIR/client.crt sslkey=DIR/client.key";
    for (const protocol of ["TLSv1.2", "TLSv1.3"]) {
      const more = `${parameters} ssl_min_protocol_version=${protocol} ssl_max_protocol_version=${protocol}`;
      expect(await both(`${more} sslcertmode=require`, {}, withoutRequest)).toEqual(["error", "error"]);
      expect(await both(`${more} sslcertmode=require`)).toEqual(["tls", "tls"]);
      expect(await both(`${more} sslcertmode=allow`, {}, withoutRequest)).toEqual(["tls", "tls"]);
    }
    expect(await both(`${parameters} sslcertmode=require sslmode=disable`)).toEqual(["error", "error"]);
  });
});

test("a client certificate's failures name the file and the cure", async () => {
  const failure = async (parameters: string): Promise<string> => {
    const source = `host=localhost port=${server.port} user=cert dbname=postgres sslmode=require ${fill(parameters)}`;
    return (await connectOurs(source, {})).text;
  };
  expect(await failure("sslcert=DIR/none.crt")).toMatch(/certificate file \\?".*none\.crt\\?" does not exist/);
  expect(await failure("sslcert=DIR/client.crt sslkey=DIR/world.key")).toMatch(/world access.*chmod 0600/s);
  expect(await failure("sslcert=DIR/client.crt sslkey=DIR/other.key")).toMatch(
    /other\.key.*does not belong to.*client\.crt/s,
  );
  expect(await failure("sslcert=DIR/client.crt sslkey=DIR/encrypted.key")).toMatch(
    /encrypted\.key.*is encrypted.*sslpassword/s,
  );
  expect(await failure("sslcert=DIR/client.crt sslkey=DIR/encrypted.key sslpassword=wrong")).toMatch(
    /encrypted\.key.*passphrase/s,
  );
});

test("describeEncryption() says what protects the connection", async () => {
  const describing = async (parameters: string): Promise<string> => {
    const source = `host=localhost port=${server.port} dbname=postgres ${fill(parameters)}`;
    return (await connectOurs(source, {})).text;
  };
  const own = "sslcert=DIR/client.crt sslkey=DIR/client.key";
  expect(await describing(`user=cert ${own} sslmode=verify-full sslrootcert=DIR/ca.crt`)).toBe(
    fill("TLSv1.3, the server's certificate and name verified with DIR/ca.crt, client certificate DIR/client.crt"),
  );
  expect(await describing("user=anyone sslmode=require")).toBe("TLSv1.3, the server's certificate not verified");
  expect(await describing("user=anyone sslmode=disable")).toBe("none");
});
