// The token of the account that a machine of Google's runs as (Compute Engine, GKE, Cloud Run), from its metadata server.
// Asked without Google's library, which knows no environment but the process's own.
// Source: Compute Engine documentation, "About VM metadata".

import { AnswerFailure, MeantFailure } from "./gcs-errors.ts";
import { HttpSender, readText } from "./http-sender.ts";
import { STORAGE_SCOPE } from "./token-source.ts";
import type { FetchedToken } from "./token-source.ts";

const USUAL_HOST = "metadata.google.internal";
const PATH = "/computeMetadata/v1/instance/service-accounts/default/token";
/** It is on the same machine; where there is none, nobody should wait long. */
const ANSWER_TIMEOUT_MS = 5000;

/** Gets a token. Throws MeantFailure "permission_denied" where there is no such server. */
export async function fetchMachineToken(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<FetchedToken> {
  if (environment["NO_GCE_CHECK"]?.toLowerCase() === "true") throw nothingFound();
  const named = environment["GCE_METADATA_HOST"] ?? "";
  const url = `http://${named === "" ? USUAL_HOST : named}${PATH}?scopes=${encodeURIComponent(STORAGE_SCOPE)}`;
  if (!URL.canParse(url)) throw nothingFound();
  // Never through a proxy.
  const sender = new HttpSender({ environment: {}, isPublic: false, stallTimeoutMs: ANSWER_TIMEOUT_MS });
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const headers = { "metadata-flavor": "Google" };
    const answer = await sender.send({ method: "GET", url: new URL(url), headers, signal });
    const text = await readText(answer);
    if (answer.status !== 200) throw refusal(answer.status, text);
    return tokenIn(text);
  } catch (error) {
    if (error instanceof MeantFailure && error.meaning.code !== "stalled") throw error;
    throw nothingFound();
  } finally {
    sender.dispose();
  }
}

function tokenIn(text: string): FetchedToken {
  try {
    const { access_token: token, expires_in: seconds } = JSON.parse(text) as Record<string, unknown>;
    if (typeof token === "string" && typeof seconds === "number") {
      return { token, expiresAtMs: Date.now() + seconds * 1000 };
    }
  } catch {
    // Falls through: what answers there is no metadata server.
  }
  throw nothingFound();
}

function refusal(status: number, text: string): MeantFailure {
  if (status >= 500 || status === 429) {
    const says = `the machine's metadata server answered with HTTP status ${status}`;
    return new MeantFailure({ code: "storage_failed", says, retryable: true });
  }
  const { message } = new AnswerFailure(status, text);
  return new MeantFailure({
    code: "permission_denied",
    says: `the machine's metadata server gives no token: ${message.replace(/\s+/g, " ").trim().slice(0, 200)}`,
    hint: "Give the machine a service account, or name credentials in GOOGLE_APPLICATION_CREDENTIALS.",
  });
}

function nothingFound(): MeantFailure {
  return new MeantFailure({
    code: "permission_denied",
    says: "no credentials were found",
    hint:
      'Name a credentials file in GOOGLE_APPLICATION_CREDENTIALS, or run "gcloud auth application-default login", or give this machine ' +
      "a service account. They are never part of the URI.",
  });
}
