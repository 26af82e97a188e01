import { describe, expect, test } from "vitest";
import { openStorage } from "../open-storage.ts";
import { credentialsOf } from "./azure-credentials.ts";
import { parseAzureLocation } from "./azure-location.ts";
import type { AzureLocation } from "./azure-location.ts";

const SECRET = "c2VjcmV0c2VjcmV0";
const SIGNATURE = `sv=2024-11-04&sr=c&sp=rl&se=2030-01-02T03%3A04%3A05Z&sig=${SECRET}%3D`;
const KEYS = { AZURE_STORAGE_ACCOUNT: "account", AZURE_STORAGE_KEY: SECRET };

const locate = (uri: string, environment: Record<string, string> = {}): AzureLocation =>
  parseAzureLocation(uri, credentialsOf(environment));

describe("parseAzureLocation()", () => {
  test("of a bare URI is the account's usual address", () => {
    expect(locate("azure://backups?account=shop")).toEqual({
      container: "backups",
      prefix: "",
      account: "shop",
      endpoint: "https://shop.blob.core.windows.net",
      accessTier: null,
    });
    expect(locate("azure://backups/a/b%20c/", KEYS)).toMatchObject({
      prefix: "a/b c/",
      endpoint: "https://account.blob.core.windows.net",
    });
  });

  test("reads every setting", () => {
    expect(
      locate("azure://b-1/x?account=account&endpoint=http://azure.example:10000/account/&access-tier=cool", KEYS),
    ).toEqual({
      container: "b-1",
      prefix: "x/",
      account: "account",
      endpoint: "http://azure.example:10000/account",
      accessTier: "Cool",
    });
  });

  test.each([
    [
      "AccountName=shop;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn",
      "https://shop.blob.core.chinacloudapi.cn",
    ],
    ["DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5", "https://shop.blob.core.windows.net"],
    ["AccountName=shop;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/shop;", "http://127.0.0.1:1/shop"],
    [`BlobEndpoint=https://own.example/;SharedAccessSignature=${SIGNATURE}`, "https://own.example"],
  ])("takes account and endpoint from the connection string %s", (text, endpoint) => {
    expect(locate("azure://backups", { AZURE_STORAGE_CONNECTION_STRING: text })).toMatchObject({ endpoint });
  });
});

describe("credentialsOf()", () => {
  test("takes the connection string first, then the key, then the signature, then an identity", () => {
    const environment: Record<string, string> = {
      ...KEYS,
      AZURE_STORAGE_CONNECTION_STRING: "AccountName=shop;AccountKey=a2V5",
      AZURE_STORAGE_SAS_TOKEN: `?${SIGNATURE}`,
    };
    expect(credentialsOf(environment)).toMatchObject({ kind: "key", account: "shop", key: "a2V5" });
    delete environment["AZURE_STORAGE_CONNECTION_STRING"];
    expect(credentialsOf(environment)).toMatchObject({ kind: "key", account: "account", key: SECRET });
    delete environment["AZURE_STORAGE_KEY"];
    expect(credentialsOf(environment)).toMatchObject({
      kind: "signature",
      signature: SIGNATURE,
      expiresAtMs: Date.UTC(2030, 0, 2, 3, 4, 5),
    });
    delete environment["AZURE_STORAGE_SAS_TOKEN"];
    expect(credentialsOf(environment)).toMatchObject({ kind: "identity", account: "account" });
  });
});

test.each([
  ["azure:backups", {}, "azure://CONTAINER"],
  ["azure:///x", KEYS, "no name of a container"],
  ["azure://Backups/x", KEYS, "no name of a container"],
  ["azure://b/x", KEYS, "no name of a container"],
  ["azure://a--b/x", KEYS, "no name of a container"],
  ["azure://backups:80/x", KEYS, "no name of a container"],
  [`azure://account:${SECRET}@backups/x`, KEYS, "holds credentials"],
  [`azure://backups/x?sig=${SECRET}`, KEYS, '"sig" in the URI of azure://backups is not known'],
  [`azure://backups/x?key=${SECRET}`, KEYS, '"key" in the URI of azure://backups is not known'],
  [`azure://backups/x?endpoint=https://k:${SECRET}@host`, KEYS, "endpoint holds credentials"],
  [`azure://backups/x?endpoint=https://host/?sig=${SECRET}`, KEYS, "no http: or https:"],
  ["azure://backups/x?endpoint=host:9000", KEYS, "no http: or https:"],
  ["azure://backups/x?account=a.b", KEYS, "account's name"],
  ["azure://backups/x?account=other", KEYS, 'those of "account"'],
  ["azure://backups/x?access-tier=archive", KEYS, "archive tier cannot be read"],
  ["azure://backups/a%5Cb", KEYS, "backslash"],
  ["azure://backups/a./b", KEYS, "ends with a dot"],
  [`azure://backups/${"x".repeat(501)}`, KEYS, "longer than"],
  ["azure://backups/x", {}, "names no account"],
  ["azure://backups/x?endpoint=https://host", { AZURE_STORAGE_KEY: SECRET }, "names no account"],
  ["azure://backups/x?endpoint=http://host", { AZURE_STORAGE_SAS_TOKEN: SIGNATURE }, "could be read by others"],
  ["azure://backups/x?endpoint=http://127.0.0.1", {}, "access token could be read by others"],
  ["azure://backups/x", { AZURE_STORAGE_ACCOUNT: "account", AZURE_STORAGE_KEY: `${SECRET}!` }, "is no key"],
  ["azure://backups/x", { AZURE_STORAGE_SAS_TOKEN: `https://host/?${SIGNATURE}` }, "no shared access signature"],
  ["azure://backups/x", { AZURE_STORAGE_CONNECTION_STRING: SECRET }, "is no connection string"],
  ["azure://backups/x", { AZURE_STORAGE_CONNECTION_STRING: "AccountName=shop" }, "holds neither"],
  ["azure://backups/x", { AZURE_STORAGE_CONNECTION_STRING: `AccountKey=${SECRET}` }, "names neither"],
])("openStorage() refuses %s", async (location, environment: Record<string, string>, words) => {
  const error: unknown = await openStorage(location, { environment }).catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: "usage" });
  const { message, detail = "", hint = "" } = error as { message: string; detail?: string; hint?: string };
  expect(`${message} ${detail} ${hint}`).toContain(words);
  expect(`${message} ${detail} ${hint}`).not.toContain(SECRET);
});
