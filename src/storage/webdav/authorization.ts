// Who Cairn is to a WebDAV server: a bearer token, or user and password, which go as Digest where the server offers it.
// Over TLS they are sent as Basic from the first request on; without TLS only as the server's challenge asks for it.
// Sources: RFC 7617 (Basic), RFC 7616 (Digest: MD5 and SHA-256, with and without -sess, qop auth), RFC 6750 (Bearer).

import { createHash, randomBytes } from "node:crypto";
import type { Login } from "./netrc.ts";

/** What the server is told; null: nobody. */
export type Credentials = Login | { readonly token: string } | null;

interface Digest {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | null;
  readonly algorithm: string;
  readonly hasQop: boolean;
}

const CHALLENGE_LENGTH_MAX = 4096;
const HASHES: Readonly<Record<string, string>> = { md5: "md5", "sha-256": "sha256" };

/** See the head of this file. */
export class Authorization {
  readonly #credentials: Credentials;
  #mode: "none" | "basic" | "bearer" | Digest = "none";
  #nonceCount = 0;

  constructor(credentials: Credentials, isTls: boolean) {
    this.#credentials = credentials;
    if (credentials !== null) this.#mode = "token" in credentials ? "bearer" : isTls ? "basic" : "none";
  }

  get hasCredentials(): boolean {
    return this.#credentials !== null;
  }

  /** The Authorization header of a request; undefined: none. */
  headerFor(method: string, path: string): string | undefined {
    const credentials = this.#credentials;
    if (credentials === null || this.#mode === "none") return undefined;
    if ("token" in credentials) return `Bearer ${credentials.token}`;
    const { password, user } = credentials;
    if (typeof this.#mode === "object") return this.#digestHeader(this.#mode, credentials, { method, path });
    return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  }

  /** Takes a challenge (WWW-Authenticate). True when the request may be sent again, now answered in the way it asks for. */
  isChallengedBy(header: string | undefined, sent: string | undefined): boolean {
    const credentials = this.#credentials;
    if (credentials === null || "token" in credentials) return false;
    const digest = digestOf((header ?? "").slice(0, CHALLENGE_LENGTH_MAX));
    if (digest !== null) {
      // The same nonce again means that the password is wrong, not that the nonce is too old.
      const isNew = sent === undefined || !sent.includes(`nonce="${escaped(digest.nonce)}"`);
      // Servers remember the counts of a nonce, and take none of them twice.
      const isSameNonce = typeof this.#mode === "object" && this.#mode.nonce === digest.nonce;
      if (!isSameNonce) this.#nonceCount = 0;
      this.#mode = digest;
      return isNew && !(sent?.startsWith("Digest ") === true && !/\bstale\s*=\s*"?true/i.test(header ?? ""));
    }
    if (!/(?:^|,)\s*Basic\b/i.test(header ?? "")) return false;
    this.#mode = "basic";
    return sent?.startsWith("Basic ") !== true;
  }

  #digestHeader(digest: Digest, { password, user }: Login, request: { method: string; path: string }): string {
    const { algorithm, hasQop, nonce, opaque, realm } = digest;
    const hash = (text: string): string =>
      createHash(HASHES[algorithm.replace(/-sess$/, "")]!)
        .update(text)
        .digest("hex");
    const cnonce = randomBytes(12).toString("hex");
    this.#nonceCount += 1;
    const nc = this.#nonceCount.toString(16).padStart(8, "0");
    const plain = hash(`${user}:${realm}:${password}`);
    const secret = algorithm.endsWith("-sess") ? hash(`${plain}:${nonce}:${cnonce}`) : plain;
    const target = hash(`${request.method}:${request.path}`);
    const response = hash(
      hasQop ? `${secret}:${nonce}:${nc}:${cnonce}:auth:${target}` : `${secret}:${nonce}:${target}`,
    );
    const fields = [
      `username="${escaped(user)}"`,
      `realm="${escaped(realm)}"`,
      `nonce="${escaped(nonce)}"`,
      `uri="${request.path}"`,
      `response="${response}"`,
      `algorithm=${algorithm.toUpperCase().replace("-SESS", "-sess")}`,
      ...(opaque === null ? [] : [`opaque="${escaped(opaque)}"`]),
      ...(hasQop ? ["qop=auth", `nc=${nc}`] : []),
      ...(hasQop || algorithm.endsWith("-sess") ? [`cnonce="${cnonce}"`] : []),
    ];
    return `Digest ${fields.join(", ")}`;
  }
}

/** The strongest Digest challenge that can be answered; null where there is none. */
function digestOf(header: string): Digest | null {
  const challenges = header.split(/\bDigest\s+/i).slice(1);
  const digests = challenges.map((text) => challengeOf(text)).filter((digest) => digest !== null);
  return digests.find(({ algorithm }) => algorithm.startsWith("sha-256")) ?? digests[0] ?? null;
}

function challengeOf(text: string): Digest | null {
  const fields = new Map<string, string>();
  for (const [, name = "", quoted, plain] of text.matchAll(/([a-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi)) {
    const key = name.toLowerCase();
    // A challenge of another scheme may follow, with a realm of its own.
    if (!fields.has(key)) fields.set(key, plain ?? (quoted ?? "").replace(/\\(.)/g, "$1"));
  }
  const algorithm = (fields.get("algorithm") ?? "MD5").toLowerCase();
  const nonce = fields.get("nonce") ?? "";
  const qops = fields.get("qop")?.split(/\s*,\s*/);
  if (nonce === "" || HASHES[algorithm.replace(/-sess$/, "")] === undefined) return null;
  if (qops !== undefined && !qops.includes("auth")) return null;
  const opaque = fields.get("opaque") ?? null;
  return { realm: fields.get("realm") ?? "", nonce, opaque, algorithm, hasQop: qops !== undefined };
}

function escaped(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}
