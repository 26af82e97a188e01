// Azurite for tests: Microsoft's emulator of Azure Blob Storage, out of npm, started by the tests; any user can run it. It checks
// keys, signatures, their rights and times. What it lacks: immutability policies, accounts with folders, access by network.

import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  newPipeline,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import type { ContainerClient } from "@azure/storage-blob";
import type { StorageSurroundings } from "../../src/storage/index.ts";
import { freePort, keepServer } from "./keeper.ts";

const program = fileURLToPath(new URL("../../node_modules/azurite/dist/src/blob/main.js", import.meta.url));

export const CONTAINER = "cairn-tests";
export const ACCOUNT = "cairntests";
export const KEY = Buffer.from("a key for tests of Cairn, of 64 bytes, as Azure has them: ......").toString("base64");

/** The credentials of everything in the account. */
export const KEYS = { AZURE_STORAGE_ACCOUNT: ACCOUNT, AZURE_STORAGE_KEY: KEY } as const;

export const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

export interface AzureServer extends AsyncDisposable {
  /** With the account's name as its path. */
  readonly endpoint: string;
  /** The container of the tests, for what they do behind the driver's back. */
  readonly container: ContainerClient;
}

/** A server without a client for the tests. */
export interface TokenServer extends AsyncDisposable {
  readonly endpoint: string;
}

/** Files of a certificate for localhost, and of who issued it. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** Starts Azurite, which keeps everything in memory, and makes the container. */
export async function startAzurite(): Promise<AzureServer> {
  const server = await startProgram("http://127.0.0.1", []);
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  const container = new BlobServiceClient(server.endpoint, credential).getContainerClient(CONTAINER);
  await container.create();
  return { ...server, container };
}

/** Starts Azurite with https, where it takes tokens of identities too: of them it checks audience, issuer and times. */
export async function startAzuriteForTokens({ authority, certificate, key }: Certificate): Promise<TokenServer> {
  const more = ["--disableProductStyleUrl", "--oauth", "basic", "--cert", certificate, "--key", key];
  const server = await startProgram("https://localhost", more);
  // The client takes it, and its types do not say so.
  const trust = { tlsOptions: { ca: await readFile(authority, "utf8") } };
  const pipeline = newPipeline(new StorageSharedKeyCredential(ACCOUNT, KEY), { retryOptions: {}, ...trust });
  await new BlobServiceClient(server.endpoint, pipeline).getContainerClient(CONTAINER).create();
  return server;
}

async function startProgram(origin: string, more: readonly string[]): Promise<TokenServer> {
  const port = await freePort();
  const command = [process.execPath, program, "--blobHost", "127.0.0.1", "--blobPort", String(port)];
  const server = await keepServer({
    command: [...command, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence", ...more],
    environment: { HOME: tmpdir(), PATH: process.env["PATH"] ?? "", AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` },
    isReady: async (output) => await Promise.resolve(/successfully listens on/i.test(output)),
  });
  return {
    endpoint: `${origin}:${port}/${ACCOUNT}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A URI of a place in the tests' container. */
export function uriAt(endpoint: string, place: string, settings: Readonly<Record<string, string>> = {}): string {
  return `azure://${CONTAINER}/${place}?${new URLSearchParams({ endpoint, ...settings }).toString()}`;
}

/** Surroundings of a storage whose server is near: retries without long pauses. */
export function surroundingsOf(keys: Readonly<Record<string, string>>): StorageSurroundings {
  return { environment: keys, retries: { policy: { firstDelayMs: 1, delayMsMax: 20 } } };
}

/** A shared access signature of the container: "rl" to read and list, for so long. */
export function signatureFor(permissions: string, lastsMs = 3_600_000): string {
  const settings = {
    containerName: CONTAINER,
    permissions: ContainerSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + lastsMs),
  };
  return generateBlobSASQueryParameters(settings, new StorageSharedKeyCredential(ACCOUNT, KEY)).toString();
}
