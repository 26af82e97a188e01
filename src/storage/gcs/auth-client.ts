// Trades what stands in a credentials file for an access token, with Google's own library: service accounts, logins of
// users, workload identity federation (files, URLs, AWS, executables). Loaded only when there is such a file. Its retries
// are switched off: our own count them. Impersonation is asked for by ourselves, since the library prints a warning.

import {
  AwsClient,
  ExternalAccountAuthorizedUserClient,
  gaxios,
  IdentityPoolClient,
  JWT,
  PluggableAuthClient,
  UserRefreshClient,
} from "google-auth-library";
import type {
  AwsClientOptions,
  ExternalAccountAuthorizedUserClientOptions,
  IdentityPoolClientOptions,
  PluggableAuthClientOptions,
} from "google-auth-library";
import { messageOf } from "../../base/errors.ts";
import { unusable } from "./find-credentials.ts";
import type { CredentialsFile } from "./find-credentials.ts";
import { MeantFailure, meaningOfSystemError } from "./gcs-errors.ts";
import type { Meaning } from "./gcs-errors.ts";
import { STORAGE_SCOPE } from "./token-source.ts";
import type { FetchedToken } from "./token-source.ts";

const ANSWER_TIMEOUT_MS = 30_000;
/** The library asks here whatever the file says. */
const USUAL_TOKEN_URL = "https://oauth2.googleapis.com/token";
const SOURCES_MAX = 4;

/** Gets a token. Throws MeantFailure; no message holds anything secret. */
export async function fetchToken(file: CredentialsFile): Promise<FetchedToken> {
  try {
    return await tokenOf(file, 0);
  } catch (error) {
    if (error instanceof MeantFailure) throw error;
    // Without the cause: it holds the request, and with it the secrets.
    throw new MeantFailure(meaningOfRefusal(error, file.path));
  }
}

async function tokenOf(file: CredentialsFile, depth: number): Promise<FetchedToken> {
  const transport = new TokenTransport(file.content["token_uri"]);
  if (file.content["type"] === "impersonated_service_account") return await impersonate(file, transport, depth);
  const client = clientOf(file, transport);
  const { token } = await client.getAccessToken();
  if (typeof token !== "string" || token === "") throw unusable(file.path, "no token was given for it");
  return { token, expiresAtMs: client.credentials.expiry_date ?? null };
}

type AnyClient =
  | AwsClient
  | ExternalAccountAuthorizedUserClient
  | IdentityPoolClient
  | JWT
  | PluggableAuthClient
  | UserRefreshClient;

function clientOf(file: CredentialsFile, transporter: TokenTransport): AnyClient {
  const { content, path } = file;
  const field = (name: string): string => {
    const value = content[name];
    if (typeof value !== "string" || value === "") throw unusable(path, `it has no "${name}"`);
    return value;
  };
  const usual = { transporter, scopes: [STORAGE_SCOPE] };
  switch (content["type"]) {
    case "service_account":
      return new JWT({ ...usual, email: field("client_email"), key: field("private_key") });
    case "authorized_user": {
      const secrets = { clientSecret: field("client_secret"), refreshToken: field("refresh_token") };
      return new UserRefreshClient({ transporter, clientId: field("client_id"), ...secrets });
    }
    case "external_account": {
      const source = (content["credential_source"] ?? {}) as Record<string, unknown>;
      const options: unknown = { ...content, ...usual };
      if (source["environment_id"] !== undefined) return new AwsClient(options as AwsClientOptions);
      if (source["executable"] !== undefined) return new PluggableAuthClient(options as PluggableAuthClientOptions);
      return new IdentityPoolClient(options as IdentityPoolClientOptions);
    }
    case "external_account_authorized_user": {
      const options: unknown = { ...content, transporter };
      return new ExternalAccountAuthorizedUserClient(options as ExternalAccountAuthorizedUserClientOptions);
    }
    default:
      throw unusable(path, `credentials of the type ${JSON.stringify(content["type"]).slice(0, 60)} are not known`);
  }
}

/** A service account that another identity may act as. Source: IAM Service Account Credentials API, generateAccessToken. */
async function impersonate(file: CredentialsFile, transport: TokenTransport, depth: number): Promise<FetchedToken> {
  const { delegates = [], service_account_impersonation_url: url, source_credentials: source } = file.content;
  if (typeof url !== "string" || typeof source !== "object" || source === null || depth >= SOURCES_MAX) {
    throw unusable(file.path, "it does not say who may act as the service account");
  }
  const { token } = await tokenOf({ ...file, content: source as Record<string, unknown> }, depth + 1);
  const { data } = await transport.request<{ accessToken?: string; expireTime?: string }>({
    url,
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    data: { delegates, scope: [STORAGE_SCOPE], lifetime: "3600s" },
    responseType: "json",
  });
  if (typeof data.accessToken !== "string") throw unusable(file.path, "no token was given for it");
  return { token: data.accessToken, expiresAtMs: Date.parse(data.expireTime ?? "") || null };
}

/** The library's way to the network: one attempt, in bounded time, to the address that the file names. */
class TokenTransport extends gaxios.Gaxios {
  readonly #tokenUrl: string;

  constructor(tokenUrl: unknown) {
    super();
    this.#tokenUrl = typeof tokenUrl === "string" && URL.canParse(tokenUrl) ? tokenUrl : USUAL_TOKEN_URL;
  }

  override async request<T>(options: gaxios.GaxiosOptions = {}): Promise<gaxios.GaxiosResponse<T>> {
    const url = String(options.url) === USUAL_TOKEN_URL ? this.#tokenUrl : options.url;
    return await super.request<T>({
      ...options,
      ...(url !== undefined && { url }),
      retry: false,
      retryConfig: { retry: 0, noResponseRetries: 0 },
      timeout: ANSWER_TIMEOUT_MS,
    });
  }
}

function meaningOfRefusal(error: unknown, path: string): Meaning {
  const { response, status = response?.status ?? 0 } = error as { status?: number; response?: { status?: number } };
  const words = refusalOf(error);
  if (status === 408 || status === 429 || status >= 500) {
    return {
      code: "storage_failed",
      says: `Google's token service answered with HTTP status ${status}`,
      retryable: true,
    };
  }
  if (status > 0) {
    return {
      code: "permission_denied",
      says: `the credentials in "${path}" were refused: ${words}`,
      hint: /\biat\b|\bexp\b|short-lived/i.test(words)
        ? "Set this machine's clock right."
        : 'Check whether the account still exists and its key is valid; for a login of a user, run "gcloud auth application-default login" again.',
    };
  }
  const hint = "Check this machine's network, and its proxy.";
  const ofSystem = meaningOfSystemError(error, "Google's token service", hint);
  return ofSystem ?? { code: "permission_denied", says: `the credentials in "${path}" cannot be used: ${words}` };
}

/** OAuth's own words where there are any: they name the reason and repeat nothing of the request. */
function refusalOf(error: unknown): string {
  const { response } = error as { response?: { data?: unknown } };
  const data = (typeof response?.data === "object" ? response.data : null) as Record<string, unknown> | null;
  const { error: reason, error_description: description } = data ?? {};
  const ofInterface = (reason as { message?: unknown } | undefined)?.message;
  const said = typeof reason === "string" ? [reason, description] : [ofInterface];
  const words = said.filter((part) => typeof part === "string").join(": ");
  return (words === "" ? messageOf(error) : words).replace(/\s+/g, " ").slice(0, 200);
}
