import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  describeConnection,
  describeServer,
  deserializeConnectionSettings,
  serializeConnectionSettings,
} from "./connection-settings.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { findPassword } from "./password-file.ts";
import { resolveConnection } from "./resolve-connection.ts";
import type { ResolveOptions } from "./resolve-connection.ts";
import { findService } from "./service-file.ts";

let home = "";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "cairn-home-"));
});

afterAll(async () => {
  await rm(home, { recursive: true, force: true });
});

function resolve(source: string, environment: ResolveOptions["environment"] = {}): Promise<ConnectionSettings> {
  return resolveConnection({ source, environment, homeDirectory: home, userName: "someone" });
}

test("resolveConnection() takes string over service over environment over default", async () => {
  await writeFile(join(home, ".pg_service.conf"), "[one]\nhost=service-host\nport=6001\nuser=service-user\n");
  const settings = await resolve("service=one user=string-user", {
    PGHOST: "env-host",
    PGDATABASE: "env-db",
    PGPORT: "1",
  });
  expect(settings).toMatchObject({ host: "service-host", port: 6001, user: "string-user", database: "env-db" });
});

test("resolveConnection() says that a password or service file cannot be read; a missing one is no error", async () => {
  const folder = join(home, "unreadable");
  await mkdir(join(folder, ".pg_service.conf"), { recursive: true }); // a folder can be opened, not read
  await symlink(".pgpass", join(folder, ".pgpass")); // a loop can be neither
  const options = { environment: {}, homeDirectory: folder, userName: "someone" };
  const { password, warnings } = await resolveConnection({ ...options, source: "host=h" });
  expect(password).toBeNull();
  expect(warnings).toEqual([expect.stringMatching(/^Password file ".*" could not be read and was ignored: ELOOP/)]);
  await expect(resolveConnection({ ...options, source: "service=one" })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/^service file ".*" could not be read: EISDIR/) as string,
  });
  const missing = { ...options, homeDirectory: join(home, "none") };
  expect((await resolveConnection({ ...missing, source: "host=h" })).warnings).toEqual([]);
  await expect(resolveConnection({ ...missing, source: "service=one" })).rejects.toThrow(/service "one" not found/);
});

test("resolveConnection() has libpq's defaults", async () => {
  const settings = await resolve("host=h");
  expect(settings).toMatchObject({ port: 5432, user: "someone", database: "someone", password: null });
  expect(settings).toMatchObject({ channelBinding: "prefer", connectTimeoutMs: 15_000, keepAlive: { enabled: true } });
  expect(settings.tls).toMatchObject({ mode: "prefer", negotiation: "postgres", certificateMode: "allow" });
  expect((await resolve("user=u host=h")).database).toBe("u");
  expect((await resolve("port=59999")).host).toMatch(/^\//);
});

test("resolveConnection() takes an empty value for none", async () => {
  expect(await resolve("host=h port='' user=''", { PGPORT: "" })).toMatchObject({ port: 5432, user: "someone" });
});

test.each<[string, RegExp]>([
  ["sslmode=weird", /invalid value "weird" for connection parameter "sslmode"/],
  ["port=0", /"port"/],
  ["port=70000", /"port"/],
  ["port=5x", /"port"/],
  ["hostaddr=127.0.0.1,127.0.0.2", /"host" has 1 elements, and "hostaddr" has 2/],
  ["host=a,b,c port=1,2", /"port" has 2 elements, and "host" has 3/],
  ["host=a,b port=1,x", /invalid value "x" for connection parameter "port"/],
  [`host=${"a,".repeat(100)}a`, /more than 100 hosts/],
  ["target_session_attrs=master", /"target_session_attrs"/],
  ["load_balance_hosts=yes", /"load_balance_hosts"/],
  ["sslrootcert=system sslmode=require", /weak sslmode "require" may not be used with sslrootcert=system/],
  ["sslnegotiation=direct", /weak sslmode "prefer" may not be used with sslnegotiation=direct/],
  ["gssencmode=require", /"gssencmode" is not supported/],
  ["requirepeer=postgres", /"requirepeer" is not supported/],
  ["ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", /above/],
  ["service=nowhere", /definition of service "nowhere" not found/],
])("resolveConnection() rejects %s", async (source, message) => {
  await expect(resolve(`host=h ${source}`)).rejects.toThrow(message);
});

test.each<[string, Record<string, string>, [string, string | null, number][]]>([
  [
    "host=a,b port=1,2",
    {},
    [
      ["a", null, 1],
      ["b", null, 2],
    ],
  ],
  [
    "host=a,b port=7",
    {},
    [
      ["a", null, 7],
      ["b", null, 7],
    ],
  ],
  [
    "host=a,b port=,2",
    {},
    [
      ["a", null, 5432],
      ["b", null, 2],
    ],
  ],
  [
    "host=a,b",
    { PGPORT: "6" },
    [
      ["a", null, 6],
      ["b", null, 6],
    ],
  ],
  [
    "postgres://a:1,[::1]:2,c/d",
    {},
    [
      ["a", null, 1],
      ["::1", null, 2],
      ["c", null, 5432],
    ],
  ],
  [
    "hostaddr=10.0.0.1,10.0.0.2",
    {},
    [
      ["10.0.0.1", "10.0.0.1", 5432],
      ["10.0.0.2", "10.0.0.2", 5432],
    ],
  ],
  [
    "host=a,/run/x hostaddr=10.0.0.1, port=1,2",
    {},
    [
      ["a", "10.0.0.1", 1],
      ["/run/x", null, 2],
    ],
  ],
])("resolveConnection() reads the hosts of %j with %j", async (source, environment, expected) => {
  const settings = await resolve(source, environment);
  const [first, ...others] = expected.map(([host, hostAddress, port]) => ({ host, hostAddress, port }));
  expect(settings).toMatchObject({ ...first, firstNamed: first, alternatives: others });
});

test("resolveConnection() reads empty hosts as the default, and has a password of the file for each", async () => {
  const file = join(home, "of-each");
  await writeFile(file, "a:1:*:u:of-a\nb:*:*:u:of-b\nlocalhost:3:*:u:of-socket\n", { mode: 0o600 });
  const settings = await resolve(`host=a,b,,c port=1,2,3,4 user=u passfile=${file}`);
  const hosts = [settings, ...settings.alternatives];
  expect(hosts.map(({ password }) => password?.reveal() ?? null)).toEqual(["of-a", "of-b", "of-socket", null]);
  expect(hosts[2]?.host).toMatch(/^\//);
  expect(describeServer(settings)).toMatch(/^a:1,b:2,socket .*\.3,c:4$/);
  const given = await resolve(`host=a,b user=u passfile=${file} password=own`);
  expect(given.alternatives[0]?.password?.reveal()).toBe("own");
});

test("resolveConnection() takes what the caller overrides, and null for none", async () => {
  const options = { environment: { PGHOSTADDR: "10.0.0.9,10.0.0.8" }, homeDirectory: home, userName: "someone" };
  const overrides = { host: "/run/x", hostaddr: null, port: "7" };
  const settings = await resolveConnection({ ...options, source: "host=a,b port=1,2", overrides });
  expect(settings).toMatchObject({ host: "/run/x", hostAddress: null, port: 7, alternatives: [] });
});

test("resolveConnection() makes verify-full of sslrootcert=system", async () => {
  expect((await resolve("host=h sslrootcert=system")).tls.mode).toBe("verify-full");
});

test.each([
  ["0", 0],
  ["-1", 0],
  ["1", 2000],
  ["7", 7000],
])("resolveConnection() reads connect_timeout=%s as %i ms", async (text, expected) => {
  expect((await resolve(`host=h connect_timeout=${text}`)).connectTimeoutMs).toBe(expected);
});

test("resolveConnection() takes the password from the file only when nobody else can read it", async () => {
  const file = join(home, ".pgpass");
  await writeFile(file, "h:5432:d:u:from-file\n", { mode: 0o600 });
  const settings = await resolve("postgres://u@h/d");
  expect(settings.password?.reveal()).toBe("from-file");
  expect(settings.passwordOrigin).toContain(file);
  expect((await resolve("postgres://u:own@h/d")).password?.reveal()).toBe("own");
  await chmod(file, 0o640);
  const unsafe = await resolve("postgres://u@h/d");
  expect(unsafe.password).toBeNull();
  expect(unsafe.warnings.join()).toContain("group or world access");
});

test.each<[string, string | null]>([
  ["h:1:d:u:secret", "secret"],
  ["*:*:*:*:any", "any"],
  ["# h:1:d:u:comment\nh:1:d:x:other\nh:1:d:u:second", "second"],
  ["h:1:d:u:with\\:colon\\\\", "with:colon\\"],
  ["h:1:d:u:a:b", "a:b"],
  ["h:1:d:u\nh:1:*:u:whole", "whole"],
  ["other:1:d:u:x", null],
  ["h:1:d:u:dos\r\n", "dos"],
])("findPassword() in %j", (text, expected) => {
  expect(findPassword(text, { host: "h", port: 1, database: "d", user: "u" })?.reveal() ?? null).toBe(expected);
});

test("findPassword() compares escaped fields", () => {
  const query = { host: "::1", port: 1, database: "a\\b", user: "u" };
  expect(findPassword("\\:\\:1:1:a\\\\b:u:pw", query)?.reveal()).toBe("pw");
});

test("findService() reads one section, first value first, and names a bad line", () => {
  const text = "# c\n[a]\nhost=1\n\n[b]\n host=2 \nhost=3\nport=9\n[c]\nhost=4\n";
  expect(Object.fromEntries(findService(text, "b", "f") ?? [])).toEqual({ host: "2", port: "9" });
  expect(findService(text, "z", "f")).toBeNull();
  expect(() => findService("[b]\nnonsense=1", "b", "f")).toThrow('line 2 of service file "f"');
  expect(() => findService("[b]\nservice=x", "b", "f")).toThrow("not allowed");
});

test("settings never show the password, and cross a structured clone whole", async () => {
  const settings = await resolve("postgres://u:hunter2@h,second/d?sslpassword=hunter3");
  for (const text of [
    JSON.stringify(settings),
    inspect(settings, { depth: 9, showHidden: true }),
    String(settings.password),
  ]) {
    expect(text).not.toMatch(/hunter/);
  }
  expect(describeConnection(settings)).toBe('database "d" on h:5432,second:5432 as "u"');
  const copy = deserializeConnectionSettings(structuredClone(serializeConnectionSettings(settings)));
  expect(copy.password?.reveal()).toBe("hunter2");
  expect(copy.tls.keyPassphrase?.reveal()).toBe("hunter3");
  expect(copy.alternatives[0]?.password?.reveal()).toBe("hunter2");
  const shown = { password: null, tls: null, alternatives: [] };
  expect({ ...copy, ...shown }).toEqual({ ...settings, ...shown });
});
