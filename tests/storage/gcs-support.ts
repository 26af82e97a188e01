// What tests of gs: share: credentials of the test server's accounts, URIs of places in its bucket.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage, StorageSurroundings } from "../../src/storage/index.ts";
import type { AccountName } from "./gcs-accounts.ts";
import { GCS_BUCKET, startGcsServer } from "./gcs-server.ts";
import type { GcsServer } from "./gcs-server.ts";

/** A server, and a folder for its accounts' files. */
export interface GcsBench extends AsyncDisposable {
  readonly server: GcsServer;
  /** The environment of who uses an account: it names a key file. */
  keys(account: AccountName): Promise<Record<string, string>>;
  /** Writes a file, and gives its path. */
  file(content: unknown): Promise<string>;
  /** Opens a place with the writer's key, retries without long pauses. */
  open(place: string, settings?: Readonly<Record<string, string>>): Promise<Storage>;
}

/** Starts a server. */
export async function openGcsBench(): Promise<GcsBench> {
  const server = await startGcsServer();
  const folder = await mkdtemp(join(tmpdir(), "cairn-gcs-"));
  const file = async (content: unknown): Promise<string> => {
    const path = join(folder, randomBytes(6).toString("hex"));
    await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };
  const keys = async (account: AccountName): Promise<Record<string, string>> => {
    return { GOOGLE_APPLICATION_CREDENTIALS: await file(server.accounts.file("key", account, server.endpoint)) };
  };
  const writer = await keys("writer");
  return {
    server,
    file,
    keys,
    open: async (place, settings = {}) =>
      await openStorage(gcsUriAt(server.endpoint, place, settings), gcsSurroundings(writer)),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** A URI of a place in the tests' bucket. */
export function gcsUriAt(endpoint: string, place: string, settings: Readonly<Record<string, string>> = {}): string {
  return `gs://${GCS_BUCKET}/${place}?${new URLSearchParams({ endpoint, ...settings }).toString()}`;
}

/** Surroundings of a storage whose server is near: retries without long pauses. */
export function gcsSurroundings(environment: Readonly<Record<string, string>>): StorageSurroundings {
  return { environment, retries: { policy: { firstDelayMs: 1, delayMsMax: 20 } } };
}

/** An error as Google words it. */
export function saying(
  status: number,
  reason: string,
  message = "planned",
): { kind: "status"; status: number; text: string } {
  const text = JSON.stringify({ error: { code: status, message, errors: [{ message, domain: "global", reason }] } });
  return { kind: "status", status, text };
}

/** Lets a request pass, so that the fault after it meets the next one. */
export const PASS = { kind: "slow", ms: 0 } as const;
