// The resolver held against the stock psql: one string, one environment, one home folder, the same session.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSession, resolveConnection, startThrowawayServer } from "../../src/postgres/index.ts";
import type { ThrowawayServer } from "../../src/postgres/index.ts";
import { clientTools } from "../support/servers.ts";

const FACTS =
  "SELECT concat_ws('|', current_user, current_database(), current_setting('application_name'), " +
  "current_setting('work_mem'), coalesce(host(inet_client_addr()), 'socket'))";

let server: ThrowawayServer;
let home = "";
let psql = "";

beforeAll(async () => {
  server = await startThrowawayServer({
    major: 18,
    tcp: true,
    hostBasedAuthentication: [
      "local all all scram-sha-256",
      "host all all 127.0.0.1/32 scram-sha-256",
      "local all postgres trust",
    ].toReversed(),
  });
  await using session = await openSession(server.settings);
  for (const name of ["someone", "odd name", "a/b@c:d"]) {
    await session.execute(`CREATE ROLE "${name}" LOGIN PASSWORD 'pw ${name}'`);
    await session.execute(`CREATE DATABASE "${name}"`);
  }
  home = await mkdtemp(join(tmpdir(), "cairn-home-"));
  psql = (await clientTools(18)).psql;
  const passwords = ["*:*:*:someone:pw someone", "*:*:*:odd name:pw odd name", "127.0.0.1:*:*:a/b@c\\:d:pw a/b@c\\:d"];
  await writeFile(join(home, ".pgpass"), `${passwords.join("\n")}\n`, { mode: 0o600 });
  await writeFile(join(home, "wrong"), "*:*:*:*:nonsense\n", { mode: 0o600 });
  const service = `[one]\nhost=127.0.0.1\nport=${server.port}\nuser=odd name\ndbname=someone\napplication_name=by service\n`;
  await writeFile(join(home, ".pg_service.conf"), service);
  await writeFile(join(home, "other.conf"), service.replace("[one]", "[two]").replace("by service", "by other"));
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

type Environment = Readonly<Record<string, string>>;

const fill = (text: string): string =>
  text.replaceAll("PORT", String(server.port)).replaceAll("SOCKET", server.socketDirectory).replaceAll("HOME", home);

async function ours(source: string, environment: Environment): Promise<string | null> {
  try {
    const settings = await resolveConnection({ source, environment, homeDirectory: home, userName: "nobody special" });
    await using session = await openSession(settings, { applicationName: "psql" });
    return (await session.query(FACTS)).value;
  } catch {
    return "error";
  }
}

async function stock(source: string, environment: Environment): Promise<string> {
  const options = { env: { HOME: home, PATH: "/usr/bin:/bin", ...environment } };
  const parameters = ["-X", "-w", "-A", "-t", "-c", FACTS, ...(source === "" ? [] : ["-d", source])];
  const done = await promisify(execFile)(psql, parameters, options).catch(() => null);
  return done === null ? "error" : done.stdout.trim();
}

test.each<[string, Environment]>([
  ["postgres://someone@127.0.0.1:PORT", {}],
  ["postgres://someone:pw%20someone@127.0.0.1:PORT/odd%20name?application_name=a%20b", {}],
  ["postgres://someone:wrong@127.0.0.1:PORT/someone", {}],
  ["postgres://a%2Fb%40c%3Ad@127.0.0.1:PORT/", {}],
  ["postgres://odd%20name@/someone?host=SOCKET&port=PORT", {}],
  ["postgres:///someone?user=someone", { PGHOST: "SOCKET", PGPORT: "PORT" }],
  ["postgresql://someone@SOCKET:PORT", {}],
  ["host=SOCKET port=PORT user='odd name' dbname='odd name'", {}],
  ["host=SOCKET port=PORT user=odd\\ name options='-c work_mem=7MB'", {}],
  ["host=127.0.0.1 port=PORT user=someone password='pw\\ someone' passfile=HOME/wrong", {}],
  ["host=127.0.0.1 port=PORT user=someone passfile=HOME/wrong", {}],
  ["host=wrong.invalid hostaddr=127.0.0.1 port=PORT user=someone", {}],
  ["host=127.0.0.1 port=PORT user=someone", { PGPASSFILE: "HOME/wrong" }],
  ["host=127.0.0.1 port=PORT user=someone", { PGPASSWORD: "pw someone", PGPASSFILE: "HOME/wrong" }],
  ["someone", { PGHOST: "127.0.0.1", PGPORT: "PORT", PGUSER: "odd name", PGAPPNAME: "by name" }],
  ["", { PGHOST: "SOCKET", PGPORT: "PORT", PGUSER: "someone", PGOPTIONS: "-c work_mem=9MB" }],
  ["", { PGSERVICE: "one" }],
  ["service=one user=someone", { PGUSER: "odd name", PGAPPNAME: "by environment" }],
  ["postgres://?service=one&application_name=by%20string", {}],
  ["service=two", { PGSERVICEFILE: "HOME/other.conf" }],
  ["service=one", { PGSERVICEFILE: "HOME/other.conf" }],
  ["service=nowhere", {}],
  ["host=127.0.0.1 port=PORT user=someone nonsense=1", {}],
  ["host=127.0.0.1 port=PORT user=someone target_session_attrs=primary", {}],
  ["host=127.0.0.1 port=PORT user=someone target_session_attrs=read-only", {}],
  ["host=127.0.0.1 port=PORT user=someone target_session_attrs=standby", {}],
])("resolveConnection() of %j with %j is as psql's", async (source, environment) => {
  const filled = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, fill(value)]));
  const expected = await stock(fill(source), filled);
  expect(await ours(fill(source), filled)).toBe(expected);
});

test("the cases above are not all errors", async () => {
  expect(await stock("service=one", {})).toBe("odd name|someone|by service|4MB|127.0.0.1");
});
