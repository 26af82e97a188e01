// How gs: comes to its tokens, keeps them fresh, and what it says where it cannot. The token services are our test server's,
// which follows the documentation; Google's own library does the exchanges.

import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { expectedOf, namesIn, sha256 } from "./contract.ts";
import { openFaultProxy } from "./fault-proxy.ts";
import { GCS_BUCKET } from "./gcs-server.ts";
import { gcsSurroundings, gcsUriAt, openGcsBench } from "./gcs-support.ts";
import type { GcsBench } from "./gcs-support.ts";

/** What must never be told. */
const SECRETS = /ya29|upload_id|PRIVATE KEY|login-secret|refresh-|subject-token|assertion/;

let bench: GcsBench;
let place = "";
beforeAll(async () => {
  bench = await openGcsBench();
});
afterAll(async () => await bench[Symbol.asyncDispose]());
beforeEach(() => {
  place = randomBytes(6).toString("hex");
  Object.assign(bench.server.accounts, { lifetimeSeconds: 3600, failures: [] });
  bench.server.accounts.asked.length = 0;
});

async function openWith(
  environment: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, string>> = {},
): Promise<Storage> {
  return await openStorage(gcsUriAt(bench.server.endpoint, place, settings), gcsSurroundings(environment));
}

async function credentials(kind: "key" | "login" | "federation" | "impersonation", changes = {}): Promise<string> {
  const { accounts, endpoint } = bench.server;
  return await bench.file({ ...accounts.file(kind, "writer", endpoint), ...changes });
}

/** The failure of a read, which must tell no secret. */
async function failureOf(storage: Storage): Promise<{ code: string; message: string; hint?: string }> {
  const failure = await storage.read("a").then(
    () => Promise.reject(new Error("it was read")),
    (error: unknown) => error as { code: string; message: string; detail?: string; hint?: string },
  );
  const { detail, hint, message } = failure;
  expect(JSON.stringify({ message, detail, hint })).not.toMatch(SECRETS);
  return failure;
}

describe("credentials", () => {
  test.each([
    ["key", ["/token"]],
    ["login", ["/token"]],
    ["impersonation", ["/token", "/impersonate/writer@tests.iam.gserviceaccount.com:generateAccessToken"]],
    ["federation", ["/identity-of-the-machine", "/sts", "/impersonate/writer@tests.iam.gserviceaccount.com:generateAccessToken"]], // prettier-ignore
  ] as const)("of the kind %s are traded for a token, once", async (kind, asked) => {
    await using storage = await openWith({ GOOGLE_APPLICATION_CREDENTIALS: await credentials(kind) });
    await Promise.all(["a", "b", "c"].map(async (name) => await storage.put(name, Buffer.from(name))));
    expect(await namesIn(storage)).toEqual(["a", "b", "c"]);
    expect(bench.server.accounts.asked).toEqual(asked);
  });

  test("of the machine come from its metadata server", async () => {
    const { host } = new URL(bench.server.endpoint);
    await using storage = await openWith({ GCE_METADATA_HOST: host, HOME: "/nonexistent" });
    await storage.put("a", Buffer.from("1"));
    expect(bench.server.accounts.asked).toEqual(["/computeMetadata/v1/instance/service-accounts/default/token"]);
  });

  test("are looked for in the URI, the environment, gcloud's token and gcloud's folder, in this order", async () => {
    const { accounts, endpoint } = bench.server;
    const gcloud = `${await bench.file("")}.d`;
    await mkdir(join(gcloud, ".config", "gcloud"), { recursive: true });
    const login = JSON.stringify(accounts.file("login", "writer", endpoint));
    for (const folder of [gcloud, join(gcloud, ".config", "gcloud")]) {
      await writeFile(join(folder, "application_default_credentials.json"), login);
    }
    const token = await bench.file(`${accounts.issue("writer")}\n`);
    const broken = await bench.file("broken");
    const good = await credentials("key");
    const works = async (environment: Record<string, string>, settings = {}): Promise<void> => {
      await using storage = await openWith(environment, settings);
      expect(await namesIn(storage)).toEqual([]);
    };
    await works({ GOOGLE_APPLICATION_CREDENTIALS: broken, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: broken }, { credentials: good }); // prettier-ignore
    await works({ GOOGLE_APPLICATION_CREDENTIALS: good, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: broken });
    await works({ CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: token, CLOUDSDK_CONFIG: "/nonexistent" });
    await works({ CLOUDSDK_CONFIG: gcloud, HOME: "/nonexistent" });
    await works({ HOME: gcloud });
    expect(accounts.asked).toHaveLength(4);
  });

  test("that are nowhere: it says where they are looked for, and asks nobody", async () => {
    await using storage = await openWith({ HOME: "/nonexistent", NO_GCE_CHECK: "true" });
    expect(await failureOf(storage)).toMatchObject({
      code: "permission_denied",
      message: 'could not read "a": no credentials were found',
      hint: expect.stringContaining("GOOGLE_APPLICATION_CREDENTIALS") as string,
    });
    await using elsewhere = await openWith({ HOME: "/nonexistent", GCE_METADATA_HOST: "127.0.0.1:9" });
    expect(await failureOf(elsewhere)).toMatchObject({ message: 'could not read "a": no credentials were found' });
  });

  test.each([
    ["is not there", "/nonexistent/key.json", "ENOENT"],
    ["is a folder", "/", "no file"],
    ["is no JSON", "-----BEGIN PRIVATE KEY-----", "no JSON file"],
    ["is of another kind", { type: "gdch_service_account" }, '"gdch_service_account" are not known'],
    ["lacks the key", { type: "service_account", client_email: "a@b" }, 'it has no "private_key"'],
    ["has a key that is none", { type: "service_account", client_email: "a@b", private_key: "x" }, "cannot be used"],
    ["lacks the login", { type: "authorized_user", client_id: "a", client_secret: "login-secret" }, '"refresh_token"'],
    ["lacks a source", { type: "impersonated_service_account" }, "does not say who"],
  ])("whose file %s are named as such, by its name", async (_, content, words) => {
    const isPath = typeof content === "string" && content.startsWith("/");
    const path = isPath ? content : await bench.file(content);
    await using storage = await openWith({ GOOGLE_APPLICATION_CREDENTIALS: path });
    const { code, message } = await failureOf(storage);
    expect(code).toBe("permission_denied");
    expect(message).toContain(words);
    expect(message).toContain(path);
    expect(storage.retryCount).toBe(0);
  });

  test("that are refused are not tried again", async () => {
    const revoked = await credentials("login", { refresh_token: "refresh-nobody" });
    await using storage = await openWith({ GOOGLE_APPLICATION_CREDENTIALS: revoked });
    expect(await failureOf(storage)).toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining("invalid_grant: Token has been expired or revoked") as string,
      hint: expect.stringContaining("gcloud auth application-default login") as string,
    });
    expect(bench.server.accounts.asked).toHaveLength(1);
    await using federated = await openWith({
      GOOGLE_APPLICATION_CREDENTIALS: await credentials("federation", {
        credential_source: { file: await bench.file("another") },
      }),
    });
    expect(await failureOf(federated)).toMatchObject({ message: expect.stringContaining("invalid_grant") as string });
  });

  test("are asked for again where the token service fails, and that is counted", async () => {
    for (const kind of ["key", "login", "federation", "impersonation"] as const) {
      bench.server.accounts.failures = [503, 500];
      await using storage = await openWith({ GOOGLE_APPLICATION_CREDENTIALS: await credentials(kind) });
      expect(await storage.head("a"), kind).toBe(null);
      expect(storage.retryCount, kind).toBe(2);
    }
    const unreachable = await credentials("key", { token_uri: "http://127.0.0.1:9/token" });
    await using storage = await openWith({ GOOGLE_APPLICATION_CREDENTIALS: unreachable });
    expect(await failureOf(storage)).toMatchObject({
      code: "connection_failed",
      message: 'could not read "a": Google\'s token service cannot be reached',
    });
    expect(storage.retryCount).toBe(2);
  });

  test("signed by a clock that is a day off: it says so", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 86_400_000 });
    const now = vi.spyOn(bench.server.accounts, "answer").mockImplementation(() => {
      const error_description =
        "Invalid JWT: Token must be a short-lived token (60 minutes). Check your iat and exp values.";
      return { status: 400, said: { error: "invalid_grant", error_description } };
    });
    try {
      await using storage = await openWith(await bench.keys("writer"));
      expect(await failureOf(storage)).toMatchObject({ hint: "Set this machine's clock right." });
    } finally {
      now.mockRestore();
      vi.useRealTimers();
    }
  });
});

describe("a token", () => {
  test("that expires in mid-run is replaced, in calls and in mid-upload", async () => {
    await using storage = await openWith(await bench.keys("writer"));
    const bytes = randomBytes(25 * MIB);
    await storage.put("a", Buffer.from("1"));
    bench.server.accounts.expireAll();
    expect(Buffer.from(await storage.read("a")).toString()).toBe("1");
    await using writer = await storage.openWriter("large", { ifAbsent: true });
    for (let offset = 0; offset < bytes.length; offset += MIB) {
      if (offset === 12 * MIB) bench.server.accounts.expireAll();
      await writer.write(Uint8Array.from(bytes.subarray(offset, offset + MIB)));
    }
    await writer.finish(expectedOf(bytes));
    expect(sha256(await storage.read("large")).equals(sha256(bytes))).toBe(true);
    expect(bench.server.accounts.asked).toHaveLength(3);
    expect(storage.retryCount).toBe(2);
  });

  test("that is refused from the start is an error at once", async () => {
    const token = await bench.file("ya29.wrong");
    await using storage = await openWith({ CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: token });
    expect(await failureOf(storage)).toMatchObject({
      code: "permission_denied",
      message: 'could not read "a": the credentials are not valid',
    });
    expect(storage.retryCount).toBe(0);
  });

  test("is renewed before it expires", async () => {
    bench.server.accounts.lifetimeSeconds = 0;
    await using storage = await openWith(await bench.keys("writer"));
    for (let count = 1; count <= 3; count += 1) {
      expect(await storage.head("a")).toBe(null);
      expect(bench.server.accounts.asked).toHaveLength(count);
    }
  });
});

describe("rights", () => {
  test("to read are enough to read and list; the right that is missing is named", async () => {
    await using writer = await openWith(await bench.keys("writer"));
    await writer.put("a", Buffer.from("1"));
    await using reader = await openWith(await bench.keys("reader"));
    expect(Buffer.from(await reader.read("a")).toString()).toBe("1");
    expect(await reader.head("a")).toEqual({ name: "a", sizeBytes: 1 });
    expect(await namesIn(reader)).toEqual(["a"]);
    for (const [call, right] of [
      [() => reader.put("b", Buffer.from("1")), "storage.objects.create"],
      [() => reader.delete("a"), "storage.objects.delete"],
    ] as const) {
      await expect(call()).rejects.toMatchObject({
        code: "permission_denied",
        message: expect.stringContaining(right) as string,
        hint: expect.stringContaining("cairn storage test") as string,
      });
    }
  });

  test("to add, and not to delete, replace nothing", async () => {
    await using adder = await openWith(await bench.keys("adder"));
    await adder.put("a", Buffer.from("1"), { ifAbsent: true });
    await expect(adder.put("a", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject({ code: "repository_exists" }); // prettier-ignore
    await expect(adder.put("a", Buffer.from("2"))).rejects.toMatchObject({ code: "permission_denied" });
  });

  test("none are asked for with credentials=none", async () => {
    await using storage = await openWith(await bench.keys("writer"), { credentials: "none" });
    expect(await failureOf(storage)).toMatchObject({ code: "permission_denied" });
    expect(bench.server.accounts.asked).toEqual([]);
  });
});

test("no credentials go over http: to another machine", async () => {
  const uri = `gs://${GCS_BUCKET}/x?endpoint=http://storage.example`;
  await expect(openStorage(uri, { environment: {} })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining("others could read the credentials") as string,
  });
  await using storage = await openStorage(`${uri}&credentials=none`, { environment: {} });
  expect(storage.description).toContain("storage.example");
});

test("a proxy of the environment is used, unless it says not to", async () => {
  const { endpoint } = bench.server;
  const uri = `gs://${GCS_BUCKET}/x?endpoint=http://storage.invalid&credentials=none`;
  await using proxied = await openStorage(uri, { environment: { HTTP_PROXY: endpoint } });
  expect(await failureOf(proxied)).toMatchObject({ code: "permission_denied" });
  const environment = { HTTP_PROXY: endpoint, NO_PROXY: "storage.invalid" };
  await using direct = await openStorage(uri, gcsSurroundings(environment));
  expect(await failureOf(direct)).toMatchObject({ message: expect.stringContaining("cannot be reached") as string });
});

test("no token goes through a proxy in plain text", async () => {
  await using spy = await openFaultProxy(bench.server.endpoint);
  await using storage = await openWith({ ...(await bench.keys("writer")), HTTP_PROXY: spy.endpoint });
  expect(await storage.head("a")).toBe(null);
  expect(spy.seen).toEqual([]);
});

test.each(["HTTPS_PROXY", "HTTP_PROXY"])(
  "an address of a proxy that is none is refused, and not repeated: %s",
  async (name) => {
    for (const address of ["http://user:ya29/x@proxy", "http://user:ya29%zz@proxy"]) {
      const failure = await openWith({ [name]: address }, { credentials: "none" }).then(
        () => Promise.reject(new Error("it was opened")),
        (error: unknown) => error as Error,
      );
      expect(failure).toMatchObject({ code: "usage", hint: expect.stringContaining("%XX") as string });
      expect(inspect(failure, { depth: 5 })).not.toMatch(SECRETS);
    }
  },
);

test.each([
  ["HTTP/1.1 502 Bad Gateway", 2],
  ["HTTP/1.1 407 Proxy Authentication Required", 0],
])("a proxy that opens no way (%s) is told, after %d more tries", async (head, retryCount) => {
  const proxy = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(`${head}\r\n\r\n`));
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const environment = { HTTPS_PROXY: `http://user:ya29@127.0.0.1:${(proxy.address() as AddressInfo).port}` };
  const uri = `gs://${GCS_BUCKET}/x?endpoint=https://storage.invalid&credentials=none`;
  await using storage = await openStorage(uri, gcsSurroundings(environment));
  expect(await failureOf(storage)).toMatchObject({
    code: "connection_failed",
    message: 'could not read "a": the proxy opens no way to https://storage.invalid',
    detail: expect.stringContaining(head.slice(9)) as string,
    hint: expect.stringContaining("HTTPS_PROXY") as string,
  });
  expect(storage.retryCount).toBe(retryCount);
  await new Promise((resolve) => proxy.close(resolve));
});
