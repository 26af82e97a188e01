// Logging in by TCP: every sslmode against servers with and without TLS, SCRAM, channel binding, and the errors; each
// case is held against the stock psql with the same connection string.

import { copyFile, mkdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isOperatingError } from "../../src/base/errors.ts";
import { DirectReadSocket, openSession, resolveConnection, startThrowawayServer } from "../../src/postgres/index.ts";
import type { ThrowawayServer } from "../../src/postgres/index.ts";
import { clientTools, runTool } from "../support/servers.ts";
import { makeCertificates } from "./certificates.ts";
import type { TestCertificates } from "./certificates.ts";

const SECRET = "pass wörd's \\ secret";
const RULES = [
  "local all all trust",
  "host all scram all scram-sha-256",
  "host all md5 all md5",
  "host all clear all password",
  "hostssl all only_tls all scram-sha-256",
  "hostnossl all only_plain all scram-sha-256",
  "hostssl all cert all cert",
];
const USERS = ["scram", "md5", "clear", "only_tls", "only_plain", "cert"];

let certificates: TestCertificates;
let home = "";
let psql = "";

beforeAll(async () => {
  certificates = await makeCertificates("cert");
  home = join(certificates.directory, "home");
  await mkdir(home);
  psql = (await clientTools(18)).psql;
});

afterAll(async () => {
  await certificates[Symbol.asyncDispose]();
});

async function start(major: number, hasTls: boolean): Promise<ThrowawayServer> {
  const server = await startThrowawayServer({
    major,
    tcp: true,
    hostBasedAuthentication: RULES,
    files: certificates.serverFiles,
    settings: hasTls ? { ssl: "on", ssl_ca_file: "root.crt" } : {},
  });
  await using session = await openSession(server.settings);
  for (const user of USERS) {
    const encryption = user === "md5" ? "md5" : "scram-sha-256";
    const literal = `'${SECRET.replaceAll("'", "''")}'`;
    await session.execute(`SET password_encryption = '${encryption}'; CREATE ROLE ${user} LOGIN PASSWORD ${literal}`);
  }
  return server;
}

type Outcome = "tls" | "plain" | "error";

function stringFor(port: number, parameters: string): string {
  const files = parameters
    .replaceAll("CA", certificates.authority)
    .replaceAll("OTHER", certificates.otherAuthority)
    .replaceAll("CERT", `${certificates.clientCertificate} sslkey=${certificates.clientKey}`);
  const password = SECRET.replaceAll(/[\\']/g, "\\$&");
  return `port=${port} dbname=postgres password='${password}' gssencmode=disable ${files}`;
}

async function ours(source: string, createSocket?: () => DirectReadSocket["socket"]): Promise<Outcome> {
  const settings = await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" });
  try {
    await using session = await openSession(settings, { createSocket });
    const { value } = await session.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    expect(value === "t").toBe(session.connection.isTls);
    return session.connection.isTls ? "tls" : "plain";
  } catch (error) {
    const text = `${String(error)} ${JSON.stringify(error)}`;
    if (!isOperatingError(error, "connection_failed") || text.includes("secret")) throw error;
    return "error";
  }
}

async function stock(source: string): Promise<Outcome> {
  const sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
  // psql finds root certificates in its HOME only by the parameter, so that it does not read this user's files
  const named = source.includes("sslrootcert") ? source : `${source} sslrootcert=${home}/none.crt`;
  const output = await runTool(psql, ["-X", "-A", "-t", "-c", sql, "-d", named]).catch(() => "error");
  return output === "error" ? "error" : output.trim() === "t" ? "tls" : "plain";
}

// [parameters, with TLS on the server, without]
const CASES: readonly (readonly [string, Outcome, Outcome])[] = [
  ["host=localhost user=scram sslmode=disable", "plain", "plain"],
  ["host=localhost user=scram sslmode=allow", "plain", "plain"],
  ["host=localhost user=scram sslmode=prefer", "tls", "plain"],
  ["host=localhost user=scram", "tls", "plain"],
  ["host=localhost user=scram sslmode=require", "tls", "error"],
  ["host=localhost user=scram sslmode=require sslrootcert=CA", "tls", "error"],
  ["host=localhost user=scram sslmode=require sslrootcert=OTHER", "error", "error"],
  ["host=localhost user=scram sslmode=prefer sslrootcert=OTHER", "plain", "plain"],
  ["host=localhost user=scram sslmode=verify-ca", "error", "error"],
  ["host=localhost user=scram sslmode=verify-ca sslrootcert=CA", "tls", "error"],
  ["host=localhost user=scram sslmode=verify-ca sslrootcert=OTHER", "error", "error"],
  ["host=127.0.0.1 user=scram sslmode=verify-ca sslrootcert=CA", "tls", "error"],
  ["host=localhost user=scram sslmode=verify-full sslrootcert=CA", "tls", "error"],
  ["host=127.0.0.1 user=scram sslmode=verify-full sslrootcert=CA", "error", "error"],
  ["host=a.example.test hostaddr=127.0.0.1 user=scram sslmode=verify-full sslrootcert=CA", "tls", "error"],
  ["host=wrong.test hostaddr=127.0.0.1 user=scram sslmode=verify-full sslrootcert=CA", "error", "error"],
  ["host=localhost user=scram sslmode=verify-full sslrootcert=system", "error", "error"],
  ["host=localhost user=scram sslmode=require channel_binding=require", "tls", "error"],
  ["host=localhost user=scram sslmode=disable channel_binding=require", "error", "error"],
  ["host=localhost user=scram sslmode=require channel_binding=disable", "tls", "error"],
  ["host=localhost user=md5 sslmode=require channel_binding=require", "error", "error"],
  ["host=localhost user=md5", "tls", "plain"],
  ["host=localhost user=clear", "tls", "plain"],
  ["host=localhost user=only_tls sslmode=allow", "tls", "error"],
  ["host=localhost user=only_plain sslmode=prefer", "plain", "plain"],
  ["host=localhost user=only_plain sslmode=require", "error", "error"],
  ["host=localhost user=only_tls sslmode=disable", "error", "error"],
  ["host=localhost user=cert sslcert=CERT", "tls", "error"],
  ["host=localhost user=cert", "error", "error"],
  [
    "host=localhost user=scram ssl_max_protocol_version=TLSv1.2 sslmode=require channel_binding=require",
    "tls",
    "error",
  ],
];

describe.each([13, 18])("PostgreSQL %i", (major) => {
  let withTls: ThrowawayServer;
  let withoutTls: ThrowawayServer;

  beforeAll(async () => {
    [withTls, withoutTls] = await Promise.all([start(major, true), start(major, false)]);
  });

  afterAll(async () => {
    await withTls[Symbol.asyncDispose]();
    await withoutTls[Symbol.asyncDispose]();
  });

  test.each(CASES)("connectAuthenticated() with %s: with TLS on the server %s, without %s, as psql", async (...row) => {
    const [parameters, expectedWith, expectedWithout] = row;
    const sources = [stringFor(withTls.port, parameters), stringFor(withoutTls.port, parameters)];
    expect(await Promise.all(sources.map((source) => ours(source)))).toEqual([expectedWith, expectedWithout]);
    expect(await Promise.all(sources.map(stock))).toEqual([expectedWith, expectedWithout]);
  });

  test("connectAuthenticated() with sslnegotiation=direct", async () => {
    const source = stringFor(withTls.port, "host=localhost user=scram sslmode=require sslnegotiation=direct");
    const expected = major >= 17 ? "tls" : "error";
    expect([await ours(source), await stock(source)]).toEqual([expected, expected]);
  });

  test("connectAuthenticated() tells the address that it met, by which TLS still compares the name", async () => {
    const source = stringFor(withTls.port, "host=localhost user=scram sslmode=verify-full sslrootcert=CA");
    const settings = await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" });
    await using first = await openSession(settings);
    expect(first.settings).toMatchObject({ host: "localhost", hostAddress: "127.0.0.1" });
    await using second = await openSession(first.settings);
    expect(second.connection.isTls).toBe(true);
    await expect(openSession({ ...first.settings, host: "wrong.test" })).rejects.toThrow(/TLS failed/);
  });

  test("connectAuthenticated() finds ~/.postgresql/root.crt: require then verifies", async () => {
    await mkdir(join(home, ".postgresql"));
    try {
      await copyFile(certificates.otherAuthority, join(home, ".postgresql", "root.crt"));
      expect(await ours(stringFor(withTls.port, "host=localhost user=scram sslmode=require"))).toBe("error");
      await copyFile(certificates.authority, join(home, ".postgresql", "root.crt"));
      expect(await ours(stringFor(withTls.port, "host=localhost user=scram sslmode=verify-full"))).toBe("tls");
    } finally {
      await rm(join(home, ".postgresql"), { recursive: true });
    }
  });

  test("connectAuthenticated() takes a socket that reads by onread, with TLS and without", async () => {
    for (const [server, expected] of [
      [withTls, "tls"],
      [withoutTls, "plain"],
    ] as const) {
      const source = stringFor(server.port, "host=localhost user=scram");
      expect(await ours(source, () => new DirectReadSocket().socket)).toBe(expected);
    }
  });

  test("cancel() and COPY work over TLS", async () => {
    const source = stringFor(withTls.port, "host=localhost user=scram sslmode=require");
    const settings = await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" });
    await using session = await openSession(settings);
    const cancelled = session.query("SELECT pg_sleep(600)", { signal: AbortSignal.timeout(100) });
    await expect(cancelled).rejects.toMatchObject({ name: "TimeoutError" });
    await session.execute("CREATE TEMP TABLE t (a text)");
    const writer = await session.copyIn("COPY t FROM STDIN");
    await writer.write(Buffer.from(`${"x".repeat(999)}\n`.repeat(5000)));
    await writer.finish();
    let sizeBytes = 0;
    for await (const piece of session.copyOut("COPY t TO STDOUT")) sizeBytes += piece.length;
    expect(sizeBytes).toBe(5_000_000);
  });

  test("connectAuthenticated() says what is wrong with the password, the user, the rule", async () => {
    const attempt = async (parameters: string): Promise<unknown> => {
      const source = `host=localhost port=${withTls.port} dbname=postgres ${parameters}`;
      return openSession(await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" }));
    };
    await expect(attempt("user=scram password=wrong")).rejects.toMatchObject({
      code: "connection_failed",
      sqlState: "28P01",
      hint: "Check user and password; the password came from the connection string.",
    });
    await expect(attempt("user=scram")).rejects.toThrow("the server asks for a password, and none was given");
    await expect(attempt("user=stranger")).rejects.toMatchObject({ sqlState: "28000", hint: /pg_hba\.conf/ });
  });
});

// Asks for SCRAM, and says "ok" without having proved anything.
function fakeScram(bytes: Buffer): string {
  if (bytes.length === 8) return "N";
  if (bytes[0] !== 0x70) return `R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0`;
  return "R\0\0\0\b\0\0\0\0Z\0\0\0\x05I";
}

describe("connectAuthenticated() against what is no server", () => {
  async function listen(onConnection: Parameters<typeof createServer>[1]): Promise<Server> {
    const server = createServer(onConnection);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
  }
  const portOf = (server: Server): number => (server.address() as AddressInfo).port;
  const connectTo = async (source: string): Promise<unknown> =>
    openSession(await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" }));

  test("nobody listens, an unknown name, no socket", async () => {
    const server = await listen(() => {});
    const port = portOf(server);
    await new Promise((resolve) => server.close(resolve));
    await expect(connectTo(`host=127.0.0.1 port=${port}`)).rejects.toMatchObject({
      code: "connection_failed",
      message: `could not connect to database "x" on 127.0.0.1:${port} as "x": connection refused`,
      retryable: true,
    });
    await expect(connectTo("host=no-such-host.invalid")).rejects.toThrow(/is not known|looked up/);
    await expect(connectTo(`host=${home}`)).rejects.toThrow("there is no socket");
  });

  test("silence ends at the time limit; a signal ends it at once", async () => {
    const server = await listen(() => {});
    const source = `host=127.0.0.1 port=${portOf(server)} connect_timeout=2`;
    const settings = await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" });
    await expect(openSession({ ...settings, connectTimeoutMs: 200 })).rejects.toThrow("timeout of 0.2 s expired");
    const aborted = openSession(settings, { signal: AbortSignal.timeout(100) });
    await expect(aborted).rejects.toMatchObject({ name: "TimeoutError" });
    server.close();
  });

  test.each<[string, RegExp, (bytes: Buffer) => string | null]>([
    [
      "an HTTP server",
      /answered the request for TLS with an error|impossible length/,
      () => "HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ["text after the answer to the request for TLS", /unencrypted bytes/, () => "Sxx"],
    ["a closed connection", /closed the connection/, () => null],
    [
      "a server that talks nonsense",
      /impossible length/,
      (bytes) => (bytes.length === 8 ? "N" : "HTTP/1.1 400 Bad\r\n"),
    ],
    [
      "a server that wants Kerberos",
      /GSSAPI, which is not supported/,
      (bytes) => (bytes.length === 8 ? "N" : "R\0\0\0\b\0\0\0\x07"),
    ],
    ["a server whose SCRAM is out of order", /SASL/, (bytes) => (bytes.length === 8 ? "N" : "R\0\0\0\b\0\0\0\x0c")],
    ["a server that lets in without its own proof", /did not prove/, fakeScram],
  ])("%s", async (_name, message, answer) => {
    const server = await listen((socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        const text = answer(bytes);
        if (text === null) socket.destroy();
        else socket.write(text);
      });
    });
    const connecting = connectTo(`host=127.0.0.1 port=${portOf(server)} password=x`);
    await expect(connecting).rejects.toMatchObject({
      code: "connection_failed",
      message: expect.stringMatching(message),
    });
    server.close();
  });
});
