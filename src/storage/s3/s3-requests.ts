// Sends requests to one bucket: each through the retrier, each failure as an OperatingError. Names become keys here.

import type { HeadObjectOutput, S3Client } from "@aws-sdk/client-s3";
import { GetObjectCommand, HeadObjectCommand } from "@aws-sdk/client-s3";
import { OperatingError } from "../../base/errors.ts";
import { checkObjectName } from "../names.ts";
import type { Attempt, RequestFacts, Retrier } from "../retrier.ts";
import { PartBuffers } from "./part-buffers.ts";
import { PartHasher } from "./part-hasher.ts";
import type { S3Location } from "./s3-location.ts";
import { failureName, failureStatus, s3Error } from "./s3-errors.ts";

/** Answers to HEAD have no body: of these a GET tells the reason. */
const STATUSES_WITH_REASON = [301, 400, 401, 403];

/** Clients of one bucket: one gives up a silent socket, the other leaves that to the time limit. */
interface S3Clients {
  readonly usual: S3Client;
  readonly patient: S3Client;
}

/** See the head of this file. */
export class S3Requests {
  readonly location: S3Location;
  readonly partHasher = new PartHasher();
  readonly partBuffers = new PartBuffers();
  readonly #client: S3Client;
  /** For requests with `silenceMs`: its sockets may be silent. */
  readonly #patientClient: S3Client;
  readonly #retrier: Retrier;

  constructor(clients: S3Clients, location: S3Location, retrier: Retrier) {
    this.#client = clients.usual;
    this.#patientClient = clients.patient;
    this.location = location;
    this.#retrier = retrier;
  }

  get retryCount(): number {
    return this.#retrier.retryCount;
  }

  /** The key of an object. Throws OperatingError "usage" for what is no object's name. */
  keyOf(name: string): { readonly Bucket: string; readonly Key: string } {
    checkObjectName(name);
    return { Bucket: this.location.bucket, Key: this.location.prefix + name };
  }

  /** The name behind a key; null for keys that are not below the prefix. */
  nameOf(key: string): string | null {
    return key.startsWith(this.location.prefix) ? key.slice(this.location.prefix.length) : null;
  }

  /** Does a request, again where that helps. `work` sends with the attempt's signal. */
  async run<T>(facts: RequestFacts, work: (client: S3Client, attempt: Attempt) => Promise<T>): Promise<T> {
    const client = facts.silenceMs === undefined ? this.#client : this.#patientClient;
    return await this.#retrier.run(facts, async (attempt) => {
      try {
        return await work(client, attempt);
      } catch (error) {
        throw s3Error(error, { action: facts.action, location: this.location });
      }
    });
  }

  /** What the storage says of an object, its checksums and metadata among it; null when it is not there. */
  async head(name: string, signal?: AbortSignal, attemptsMax?: number): Promise<HeadObjectOutput | null> {
    const key = this.keyOf(name);
    const facts = { action: `could not look at "${name}"`, signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.run(facts, async (client, attempt) => {
      const options = { abortSignal: attempt.signal };
      try {
        return await client.send(new HeadObjectCommand({ ...key, ChecksumMode: "ENABLED" }), options);
      } catch (error) {
        if (failureStatus(error) === 404) return null;
        if (!STATUSES_WITH_REASON.includes(failureStatus(error))) throw error;
        if (await isMissing(client, key, attempt)) return null;
        const { code, hint, message } = s3Error(error, {
          action: `could not look at "${name}"`,
          location: this.location,
        });
        // It can be read, so it can be looked at: what was in the way has passed.
        throw new OperatingError(code, message, { hint, retryable: true, cause: error });
      }
    });
  }

  dispose(): void {
    this.partHasher.dispose();
    this.#client.destroy();
    this.#patientClient.destroy();
  }
}

/** Asks by a GET, whose answer tells the reason. False where the object is there; throws what is in the way. */
async function isMissing(client: S3Client, key: { Bucket: string; Key: string }, attempt: Attempt): Promise<boolean> {
  try {
    const options = { abortSignal: attempt.signal };
    const found = await client.send(new GetObjectCommand({ ...key, Range: "bytes=0-0" }), options);
    await found.Body?.transformToByteArray();
    return false;
  } catch (error) {
    if (failureStatus(error) === 404 && failureName(error) !== "NoSuchBucket") return true;
    throw error;
  }
}
