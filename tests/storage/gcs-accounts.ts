// Who may do what on the test server, and how they come to their tokens: keys of service accounts (RFC 7523), logins of
// users (RFC 6749), workload identity federation (RFC 8693), impersonation, and a machine's metadata server.
// Written from Google's documentation: "Using OAuth 2.0 for server to server applications", "Workload identity federation",
// "IAM Service Account Credentials API", "About VM metadata".

import { createVerify, generateKeyPairSync, randomBytes } from "node:crypto";
import { GcsRefusal } from "./gcs-bucket.ts";

const SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";
const READ_RIGHTS = ["storage.objects.get", "storage.objects.list"];

/** The accounts of the tests, and their rights on the bucket. */
const RIGHTS = {
  writer: [...READ_RIGHTS, "storage.objects.create", "storage.objects.delete"],
  reader: READ_RIGHTS,
  adder: [...READ_RIGHTS, "storage.objects.create"],
} as const satisfies Record<string, readonly string[]>;

export type AccountName = keyof typeof RIGHTS;

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

interface IssuedToken {
  readonly account: AccountName;
  isExpired: boolean;
}

/** See the head of this file. */
export class GcsAccounts {
  /** Paths of the token services that were asked, in their order. */
  readonly asked: string[] = [];
  /** How long tokens are said to last. */
  lifetimeSeconds = 3600;
  /** The status of the next answers of the token services, then all is well again. */
  failures: number[] = [];
  readonly #tokens = new Map<string, IssuedToken>();

  /** What stands in a file of credentials. */
  file(kind: "key" | "login" | "federation" | "impersonation", account: AccountName, endpoint: string): object {
    const token_uri = `${endpoint}/token`;
    const login = { type: "authorized_user", client_id: "id", client_secret: "login-secret", token_uri };
    if (kind === "login") return { ...login, refresh_token: `refresh-${account}` };
    if (kind === "key") {
      const client_email = `${account}@tests.iam.gserviceaccount.com`;
      return { type: "service_account", project_id: "tests", private_key: privateKey, client_email, token_uri };
    }
    const service_account_impersonation_url = `${endpoint}/impersonate/${account}@tests.iam.gserviceaccount.com:generateAccessToken`;
    if (kind === "impersonation") {
      const source_credentials = { ...login, refresh_token: "refresh-reader" };
      return { type: "impersonated_service_account", service_account_impersonation_url, source_credentials };
    }
    return {
      type: "external_account",
      audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: `${endpoint}/sts`,
      credential_source: { url: `${endpoint}/identity-of-the-machine` },
      service_account_impersonation_url,
    };
  }

  issue(account: AccountName): string {
    const token = `ya29.${randomBytes(30).toString("base64url")}`;
    this.#tokens.set(token, { account, isExpired: false });
    return token;
  }

  /** Tokens that were issued so far are refused from now on. */
  expireAll(): void {
    for (const token of this.#tokens.values()) token.isExpired = true;
  }

  /** Throws 401 or 403 unless the caller has the right. */
  authorize(authorization: string | undefined, right: string): void {
    if (authorization === undefined) {
      throw new GcsRefusal(401, "required", `Anonymous caller does not have ${right} access to the object.`);
    }
    const token = this.#tokens.get(/^Bearer (.+)$/.exec(authorization)?.[1] ?? "");
    if (token === undefined || token.isExpired) throw new GcsRefusal(401, "authError", "Invalid Credentials");
    if ((RIGHTS[token.account] as readonly string[]).includes(right)) return;
    const who = `${token.account}@tests.iam.gserviceaccount.com`;
    const message = `${who} does not have ${right} access to the Google Cloud Storage object. Permission '${right}' denied on resource (or it may not exist).`;
    throw new GcsRefusal(403, "forbidden", message);
  }

  /** Answers for the token services; null: this is none of them. */
  answer(
    path: string,
    headers: Readonly<Record<string, unknown>>,
    body: string,
  ): { status: number; said: unknown } | null {
    const services = ["/token", "/sts", "/identity-of-the-machine", "/impersonate/", "/computeMetadata/"];
    if (!services.some((service) => path.startsWith(service))) return null;
    this.asked.push(path);
    const failure = this.failures.shift();
    if (failure !== undefined) return { status: failure, said: { error: "internal_failure" } };
    const expires_in = this.lifetimeSeconds;
    const given = (account: AccountName): { status: number; said: unknown } => {
      return { status: 200, said: { access_token: this.issue(account), expires_in, token_type: "Bearer" } };
    };
    if (path === "/token") return this.#answerLogin(new URLSearchParams(body), given);
    if (path === "/identity-of-the-machine") return { status: 200, said: "subject-token" };
    if (path === "/sts") {
      const isKnown = new URLSearchParams(body).get("subject_token") === '"subject-token"';
      return isKnown ? given("reader") : refused("invalid_grant", "The subject token is not valid.");
    }
    if (path.startsWith("/computeMetadata/")) {
      if (headers["metadata-flavor"] !== "Google")
        return { status: 403, said: "Missing Metadata-Flavor:Google header." };
      return given("writer");
    }
    this.authorize(String(headers["authorization"]), "storage.objects.get");
    const account = /^\/impersonate\/(\w+)@/.exec(path)?.[1] as AccountName;
    const expireTime = new Date(Date.now() + expires_in * 1000).toISOString();
    return { status: 200, said: { accessToken: this.issue(account), expireTime } };
  }

  #answerLogin(
    form: URLSearchParams,
    given: (account: AccountName) => { status: number; said: unknown },
  ): { status: number; said: unknown } {
    if (form.get("grant_type") === "refresh_token") {
      const account = /^refresh-(\w+)$/.exec(form.get("refresh_token") ?? "")?.[1];
      const isKnown = account !== undefined && account in RIGHTS && form.get("client_secret") === "login-secret";
      return isKnown ? given(account as AccountName) : refused("invalid_grant", "Token has been expired or revoked.");
    }
    const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
    const isSigned = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature, "base64url");
    if (!isSigned) return refused("invalid_grant", "Invalid JWT Signature.");
    const { exp, iat, iss, scope } = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<string, unknown>;
    const now = Date.now() / 1000;
    if (Number(iat) > now + 300 || Number(exp) < now || Number(exp) > Number(iat) + 3600) {
      const text =
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.";
      return refused("invalid_grant", text);
    }
    if (scope !== SCOPE) return refused("invalid_scope", "Invalid OAuth scope.");
    return given(String(iss).split("@")[0] as AccountName);
  }
}

function refused(error: string, error_description: string): { status: number; said: unknown } {
  return { status: 400, said: { error, error_description } };
}
