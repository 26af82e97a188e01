// Sends requests to one bucket: each through the retrier, with a token, each failure as an OperatingError. Names become
// addresses here, and answers become what the storage says of an object.
// Source: Google Cloud Storage documentation, "JSON API reference", Objects.

import { OperatingError } from "../../base/errors.ts";
import { checkObjectName } from "../names.ts";
import type { Attempt, RequestFacts, Retrier } from "../retrier.ts";
import { AnswerFailure, gcsError, isMissingBucket, MeantFailure, statusOf } from "./gcs-errors.ts";
import type { GcsLocation } from "./gcs-location.ts";
import { readText } from "./http-sender.ts";
import type { HttpAnswer, HttpSender } from "./http-sender.ts";
import type { TokenSource } from "./token-source.ts";

/** What is asked of an object. */
const OBJECT_FIELDS = "name,size,generation,md5Hash,metadata";

const MD5_OF_NOTHING = "1B2M2Y8AsgTpgAmY7PhCfg==";

/** What the storage says of an object. */
export interface SaidObject {
  /** Null where it says none. */
  readonly sizeBytes: number | null;
  /** Decimal digits: it is more than a number holds. Each object that ever had the name has another. */
  readonly generation: string;
  /** Base64; "" where it says none. */
  readonly md5: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** One request, within an attempt. */
export interface GcsRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
}

/** What a bucket is reached with. */
interface Means {
  readonly location: GcsLocation;
  readonly retrier: Retrier;
  readonly sender: HttpSender;
  readonly tokens: TokenSource;
}

/** See the head of this file. */
export class GcsRequests {
  readonly location: GcsLocation;
  readonly #means: Means;

  constructor(means: Means) {
    this.location = means.location;
    this.#means = means;
  }

  get retryCount(): number {
    return this.#means.retrier.retryCount;
  }

  /** The whole name in the bucket. Throws OperatingError "usage" for what is no object's name. */
  keyOf(name: string): string {
    checkObjectName(name);
    return this.location.prefix + name;
  }

  /** The name behind a key; null for keys that are not below the prefix. */
  nameOf(key: string): string | null {
    return key.startsWith(this.location.prefix) ? key.slice(this.location.prefix.length) : null;
  }

  /** The address of an object. */
  objectUrl(name: string, query: Readonly<Record<string, string>> = {}): URL {
    return this.#url(`/storage/v1/b/${this.location.bucket}/o/${encodeURIComponent(this.keyOf(name))}`, query);
  }

  /** The address of the bucket's list. */
  listUrl(query: Readonly<Record<string, string>>): URL {
    return this.#url(`/storage/v1/b/${this.location.bucket}/o`, query);
  }

  /** The address to which new objects are sent. */
  uploadUrl(query: Readonly<Record<string, string>>): URL {
    return this.#url(`/upload/storage/v1/b/${this.location.bucket}/o`, query);
  }

  /** Does a request, again where that helps. `work` sends with the attempt. */
  async run<T>(facts: RequestFacts, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    let waitMs = 0;
    return await this.#means.retrier.run({ ...facts, waitMs: () => waitMs }, async (attempt) => {
      waitMs = 0;
      try {
        return await work(attempt);
      } catch (error) {
        const answered = error instanceof OperatingError ? error.cause : error;
        if (answered instanceof AnswerFailure) waitMs = answered.waitMs;
        throw gcsError(error, { action: facts.action, location: this.location });
      }
    });
  }

  /** Sends one request; gives any answer of the given statuses, and throws AnswerFailure for others. */
  async send(request: GcsRequest, attempt: Attempt, statuses: readonly number[]): Promise<HttpAnswer> {
    const { sender, tokens } = this.#means;
    // A session may lie on another host: it needs no token, and must not see ours.
    const isHome = request.url.origin === new URL(this.location.endpoint).origin;
    const token = isHome ? await tokens.get() : null;
    const headers = { ...request.headers, ...(token !== null && { authorization: `Bearer ${token}` }) };
    const answer = await sender.send({ ...request, headers, signal: attempt.signal });
    attempt.alive();
    if (answer.status !== 401) tokens.accepted(token);
    if (statuses.includes(answer.status)) return answer;
    const failure = new AnswerFailure(answer.status, await readText(answer), answer.headers["retry-after"]);
    if (answer.status === 401 && tokens.refused(token)) {
      throw new MeantFailure({ code: "permission_denied", says: "the access token has expired", retryable: true });
    }
    throw failure;
  }

  /** What the storage says of an object; null when it is not there. */
  async head(name: string, signal?: AbortSignal, attemptsMax?: number): Promise<SaidObject | null> {
    const url = this.objectUrl(name, { fields: OBJECT_FIELDS });
    const facts = { action: `could not look at "${name}"`, signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.run(facts, async (attempt) => {
      try {
        return saidObject(await readJson(await this.send({ method: "GET", url }, attempt, [200])));
      } catch (error) {
        if (statusOf(error) === 404 && !isMissingBucket(error)) return null;
        throw error;
      }
    });
  }

  dispose(): void {
    this.#means.sender.dispose();
  }

  #url(path: string, query: Readonly<Record<string, string>>): URL {
    const { endpoint, project } = this.location;
    const url = new URL(endpoint + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    if (project !== null) url.searchParams.set("userProject", project);
    return url;
  }
}

/** The body of an answer, which must be JSON: what is not comes from something between. */
export async function readJson(answer: HttpAnswer): Promise<Record<string, unknown>> {
  const text = await readText(answer);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Falls through.
  }
  throw new MeantFailure({
    code: "storage_failed",
    says: "what answers is no Cloud Storage, or its answer broke off",
    hint: 'Check "endpoint" in the URI, and what stands between this machine and the storage.',
    retryable: true,
  });
}

/** Reads what the storage says of an object. */
export function saidObject(said: Readonly<Record<string, unknown>>): SaidObject {
  const { generation, md5Hash, metadata, size } = said;
  return {
    // Some servers leave out what is 0.
    sizeBytes: size === undefined && md5Hash === MD5_OF_NOTHING ? 0 : sizeOf(size),
    generation: typeof generation === "string" && /^\d{1,20}$/.test(generation) ? generation : "",
    md5: typeof md5Hash === "string" ? md5Hash : "",
    metadata: typeof metadata === "object" && metadata !== null ? (metadata as Record<string, unknown>) : {},
  };
}

/** A size as the storage writes it, decimal digits in a string; null for anything else. */
export function sizeOf(said: unknown): number | null {
  const sizeBytes = typeof said === "string" && /^\d{1,16}$/.test(said) ? Number(said) : -1;
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 ? sizeBytes : null;
}

/** For failures outside of requests. */
export function storageFailed(message: string, hint?: string): OperatingError {
  return new OperatingError("storage_failed", message, { hint });
}
