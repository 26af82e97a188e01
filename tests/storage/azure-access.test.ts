// Who may do what in Azure: signatures that only read, that end during a run, and identities in place of keys.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MIB } from "../../src/base/units.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { FaultBench, until } from "../faults/support.ts";
import { makeCertificates } from "../postgres/certificates.ts";
import type { TestCertificates } from "../postgres/certificates.ts";
import { ACCOUNT, KEY, KEYS, signatureFor, startAzurite, startAzuriteForTokens, surroundingsOf, uriAt } from "./azure-servers.ts"; // prettier-ignore
import type { AzureServer, TokenServer } from "./azure-servers.ts";
import { collect, namesIn, stream } from "./contract.ts";

describe("with keys and signatures", () => {
  let server: AzureServer;
  beforeAll(async () => void (server = await startAzurite()));
  afterAll(async () => await server[Symbol.asyncDispose]());

  const place = `access-${randomBytes(4).toString("hex")}`;
  const openAt = async (environment: Readonly<Record<string, string>>): Promise<Storage> =>
    await openStorage(uriAt(server.endpoint, place), surroundingsOf(environment));
  const denied = { code: "permission_denied", hint: expect.stringContaining("cairn storage test") as string };

  test("a connection string is enough, of a key or of a signature", async () => {
    const { endpoint } = server;
    for (const more of [`AccountName=${ACCOUNT};AccountKey=${KEY}`, `SharedAccessSignature=${signatureFor("rcwdl")}`]) {
      const environment = { AZURE_STORAGE_CONNECTION_STRING: `BlobEndpoint=${endpoint};${more}` };
      const uri = `azure://cairn-tests/${place}`;
      await using storage = await openStorage(uri, surroundingsOf(environment));
      await storage.put("a", Buffer.from("1"));
      await storage.delete("a");
    }
  });

  test("a signature to read and list reads, lists, looks, sees what is unfinished, and changes nothing", async () => {
    await using owner = await openAt(KEYS);
    await owner.put("there", Buffer.from("1"));
    const writer = await owner.openWriter("unfinished");
    await writer.write(Buffer.alloc(9 * MIB));
    await using reader = await openAt({ AZURE_STORAGE_SAS_TOKEN: signatureFor("rl") });
    expect(Buffer.from(await reader.read("there")).toString()).toBe("1");
    expect(await reader.head("there")).toEqual({ name: "there", sizeBytes: 1 });
    expect(await reader.head("none")).toBe(null);
    expect(await namesIn(reader)).toEqual(["there"]);
    const [leftover] = await collect(reader.leftovers());
    expect(leftover?.name).toMatch(/^unfinished\?blocks=[0-9a-f]{24}$/);
    await expect(reader.put("new", Buffer.from("1"))).rejects.toMatchObject(denied);
    await expect(reader.put("there", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject(denied);
    await expect(stream(await reader.openWriter("new"), Buffer.alloc(9 * MIB), MIB)).rejects.toMatchObject(denied);
    await expect(reader.delete("there")).rejects.toMatchObject(denied);
    await expect(reader.deleteLeftover(leftover!.name)).rejects.toMatchObject(denied);
    expect(reader.retryCount).toBe(0);
    await writer.finish();
    expect(await namesIn(reader)).toEqual(["there", "unfinished"]);
  });

  test("a signature that ends during a run is named as what it is, at once", async () => {
    await using storage = await openAt({ AZURE_STORAGE_SAS_TOKEN: signatureFor("rcwdl", 2500) });
    await storage.put("a", Buffer.from("1"));
    const writer = await storage.openWriter("unfinished-too");
    await writer.write(Buffer.alloc(9 * MIB));
    await until("it has ended", async () => await storage.read("a").then(() => false, () => true)); // prettier-ignore
    const ended = {
      code: "permission_denied",
      message: expect.stringContaining("the shared access signature has expired") as string,
      hint: expect.stringContaining("new shared access signature") as string,
    };
    await expect(storage.read("a")).rejects.toMatchObject(ended);
    await expect(storage.head("a")).rejects.toMatchObject(ended);
    await expect(namesIn(storage)).rejects.toMatchObject(ended);
    await expect(storage.put("b", Buffer.from("1"))).rejects.toMatchObject(ended);
    await expect(writer.finish()).rejects.toMatchObject(ended);
    expect(storage.retryCount).toBe(0);
    await using owner = await openAt(KEYS);
    const left = await collect(owner.leftovers());
    expect(left.map(({ name }) => name.split("?")[0])).toEqual(["unfinished-too"]);
  });

  test("without any credentials it says where they are looked for", async () => {
    const bench = await FaultBench.create({ repository: "none" });
    await using _ = bench;
    const uri = `azure://cairn-tests/x?account=${ACCOUNT}`;
    // Nothing that the library would run: az and the like.
    const outcome = await bench.run(["list", "--repo", uri], { environment: { PATH: "/nonexistent" } });
    expect(outcome).toMatchObject({
      status: 1,
      errors: expect.stringMatching(/no credentials were found[^]*HINT:.*AZURE_STORAGE_KEY[^]*az login/) as string,
    });
  });
});

// Azurite takes tokens whose issuer, audience and times are right; it cannot check who signed them.
describe("with identities", () => {
  let certificates: TestCertificates;
  let server: TokenServer;
  let bench: FaultBench;
  beforeAll(async () => {
    certificates = await makeCertificates("nobody");
    const at = (name: string): string => join(certificates.directory, name);
    server = await startAzuriteForTokens({
      certificate: at("server.crt"),
      key: at("server.key"),
      authority: at("ca.crt"),
    });
    bench = await FaultBench.create({ repository: "none" });
  });
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await certificates[Symbol.asyncDispose]();
  });

  async function expectFit(environment: Readonly<Record<string, string>>): Promise<void> {
    const uri = uriAt(server.endpoint, randomBytes(4).toString("hex"));
    const outcome = await bench.run(["storage", "test", uri, "--json"], {
      environment: { NODE_EXTRA_CA_CERTS: certificates.authority, ...environment },
    });
    expect(outcome, outcome.output + outcome.errors).toMatchObject({ status: 0 });
    expect(outcome.json()).toMatchObject({ isFit: true });
  }

  test("a managed identity is asked for its token, once", async () => {
    const asked: string[] = [];
    await using host = await listen(createServer(), (request, answer) => {
      asked.push(`${request.url} ${String(request.headers["x-identity-header"])}`);
      const expires_on = String(Math.floor(Date.now() / 1000) + 3600);
      answer.setHeader("content-type", "application/json");
      answer.end(JSON.stringify({ access_token: tokenFor(), expires_on, resource: "x", token_type: "Bearer" }));
    });
    const IDENTITY_ENDPOINT = `http://127.0.0.1:${host.port}/token`;
    await expectFit({ IDENTITY_ENDPOINT, IDENTITY_HEADER: "of-this-host", AZURE_CLIENT_ID: "an-identity" });
    expect(asked).toEqual([expect.stringMatching(/resource=https.*storage\.azure\.com.* of-this-host$/)]);
    expect(asked[0]).toContain("client_id=an-identity");
  });

  test("a service principal and a workload log in at their authority", async () => {
    const asked: URLSearchParams[] = [];
    const read = async (name: string): Promise<string> => await readFile(join(certificates.directory, name), "utf8");
    const tls = createTlsServer({ cert: await read("server.crt"), key: await read("server.key") });
    await using authority = await listen(tls, (request, answer) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => {
        const base = `https://localhost:${authority.port}/our-tenant`;
        answer.setHeader("content-type", "application/json");
        if (request.method === "GET") {
          return answer.end(JSON.stringify({ token_endpoint: `${base}/oauth2/v2.0/token`, authorization_endpoint: `${base}/authorize`, issuer: `${base}/v2.0`, jwks_uri: `${base}/keys` })); // prettier-ignore
        }
        asked.push(new URLSearchParams(body));
        return answer.end(JSON.stringify({ access_token: tokenFor(), expires_in: 3600, token_type: "Bearer" }));
      });
    });
    const AZURE_AUTHORITY_HOST = `https://localhost:${authority.port}`;
    const who = { AZURE_AUTHORITY_HOST, AZURE_TENANT_ID: "our-tenant", AZURE_CLIENT_ID: "our-client" };
    await expectFit({ ...who, AZURE_CLIENT_SECRET: "our-secret" });
    await expectFit({ ...who, AZURE_FEDERATED_TOKEN_FILE: certificates.authority });
    expect(asked.map((fields) => fields.get("client_secret"))).toEqual(["our-secret", null]);
    expect(asked[1]?.get("client_assertion")).toContain("BEGIN CERTIFICATE");
    for (const fields of asked) expect(fields.get("scope")).toContain("https://storage.azure.com/.default");
  });
});

function tokenFor(): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: "https://storage.azure.com", iss: "https://sts.windows.net/tests/", iat: now, nbf: now - 60, exp: now + 3600 }; // prettier-ignore
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${part("unsigned")}`;
}

async function listen(listener: Server, handle: RequestListener): Promise<AsyncDisposable & { readonly port: number }> {
  listener.on("request", handle);
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
