// The access token that requests carry: fetched once for all of them, renewed before it expires, and again when the
// storage refuses one that was good before.

import { findCredentials } from "./find-credentials.ts";

/** Enough to list, read, write and delete objects; what the account may do is narrower still. */
export const STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";

const RENEWED_BEFORE_MS = 4 * 60_000;

/** A token as its issuer gives it. */
export interface FetchedToken {
  readonly token: string;
  /** Null: nobody said. */
  readonly expiresAtMs: number | null;
}

/** Where credentials are looked for. */
interface TokenSettings {
  /** The file that the URI names; "none" for no credentials; null: as the environment says. */
  readonly named: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** See the head of this file. */
export class TokenSource {
  readonly #settings: TokenSettings;
  #current: { readonly token: string; readonly renewAtMs: number; isGood: boolean } | null = null;
  #fetching: Promise<string> | null = null;

  constructor(settings: TokenSettings) {
    this.#settings = settings;
  }

  /** A token; null where requests carry none. Throws MeantFailure. */
  async get(): Promise<string | null> {
    if (this.#settings.named === "none") return null;
    if (this.#current !== null && Date.now() < this.#current.renewAtMs) return this.#current.token;
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = null));
    return await this.#fetching;
  }

  /** The storage took it. */
  accepted(token: string | null): void {
    if (this.#current !== null && this.#current.token === token) this.#current.isGood = true;
  }

  /** The storage refused it. True where another one may help: it was good once, or there is a newer one by now. */
  refused(token: string | null): boolean {
    if (token === null) return false;
    if (this.#current === null || this.#current.token !== token) return true;
    const { isGood } = this.#current;
    this.#current = null;
    return isGood;
  }

  async #fetch(): Promise<string> {
    const { environment, named } = this.#settings;
    const { expiresAtMs, token } = await fetchWith(named, environment);
    const nowMs = Date.now();
    const lifetimeMs = expiresAtMs === null ? Infinity : expiresAtMs - nowMs;
    // What is short-lived from the start is renewed at half its life.
    const renewAtMs = nowMs + Math.max(lifetimeMs - RENEWED_BEFORE_MS, lifetimeMs / 2);
    this.#current = { token, renewAtMs, isGood: false };
    return token;
  }
}

async function fetchWith(named: string | null, environment: TokenSettings["environment"]): Promise<FetchedToken> {
  const found = await findCredentials(named, environment);
  if (found.kind === "token") return { token: found.token, expiresAtMs: null };
  if (found.kind === "file") return await (await import("./auth-client.ts")).fetchToken(found);
  return await (await import("./machine-token.ts")).fetchMachineToken(environment);
}
