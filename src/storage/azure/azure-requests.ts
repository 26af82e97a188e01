// Sends requests to one container: each through the retrier, each failure as an OperatingError. Names become blobs here.

import type { BlockBlobClient, ContainerClient } from "@azure/storage-blob";
import { checkObjectName } from "../names.ts";
import type { Attempt, RequestFacts, Retrier } from "../retrier.ts";
import { askedWaitMs, azureError, failureName, failureStatus } from "./azure-errors.ts";
import type { AzureLocation } from "./azure-location.ts";

/** In the metadata of what is no object: an empty blob that is put in the place of blocks that are dropped (staged-blocks.ts). */
export const DISCARDED_MARK = "cairndiscarded";
/** Accounts with folders list them among the blobs, with this in their metadata. */
const FOLDER_MARK = "hdi_isfolder";

/** What the storage says of a blob. */
export interface BlobFacts {
  readonly sizeBytes: number;
  /** Its version, changed by each write. */
  readonly etag: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly contentMd5: Uint8Array | null;
}

/** See the head of this file. */
export class AzureRequests {
  readonly location: AzureLocation;
  readonly #container: ContainerClient;
  readonly #retrier: Retrier;
  readonly #expiresAtMs: number | null;

  constructor(container: ContainerClient, location: AzureLocation, retrier: Retrier, expiresAtMs: number | null) {
    this.#container = container;
    this.location = location;
    this.#retrier = retrier;
    this.#expiresAtMs = expiresAtMs;
  }

  get retryCount(): number {
    return this.#retrier.retryCount;
  }

  get container(): ContainerClient {
    return this.#container;
  }

  /** The blob of an object. Throws OperatingError "usage" for what is no object's name. */
  blobOf(name: string): BlockBlobClient {
    checkObjectName(name);
    return this.#container.getBlockBlobClient(this.location.prefix + name);
  }

  /** The name behind a blob's; null for blobs that are not below the prefix. */
  nameOf(blobName: string): string | null {
    const { prefix } = this.location;
    return blobName.startsWith(prefix) ? blobName.slice(prefix.length) : null;
  }

  /** Does a request, again where that helps. `work` sends with the attempt's signal. */
  async run<T>(facts: RequestFacts, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    let waitMs = 0;
    return await this.#retrier.run({ ...facts, waitMs: () => waitMs }, async (attempt) => {
      try {
        return await work(attempt);
      } catch (error) {
        waitMs = askedWaitMs(error);
        throw azureError(error, { action: facts.action, location: this.location, expiresAtMs: this.#expiresAtMs });
      }
    });
  }

  /** What the storage says of a blob, be it an object or not; null when it is not there. */
  async look(name: string, signal?: AbortSignal, attemptsMax?: number): Promise<BlobFacts | null> {
    const blob = this.blobOf(name);
    const facts = { action: `could not look at "${name}"`, signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.run(facts, async (attempt) => {
      try {
        const said = await blob.getProperties({ abortSignal: attempt.signal });
        const { contentLength: sizeBytes = -1, contentMD5: contentMd5 = null, etag = "", metadata = {} } = said;
        return { sizeBytes, etag, metadata, contentMd5 };
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    });
  }
}

/** True where the service says that there is no such blob; another 404 may be anybody's. */
export function isMissing(error: unknown): boolean {
  return failureStatus(error) === 404 && failureName(error) === "BlobNotFound";
}

/** True for blobs that are no objects although they are listed; only empty ones can be that. */
export function isNoObject({ metadata, sizeBytes }: BlobFacts): boolean {
  return sizeBytes === 0 && (DISCARDED_MARK in metadata || metadata[FOLDER_MARK] === "true");
}
