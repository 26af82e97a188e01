// Finds Google credentials where Google's own tools do ("application default credentials"): a named file, a token file of
// gcloud, the file of `gcloud auth application-default login`, else the machine's own account. Files are read each time a
// token is wanted: they may be renewed while Cairn runs.

import { open } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "../../base/units.ts";
import { MeantFailure } from "./gcs-errors.ts";

const FILE_BYTES_MAX = 1 * MIB;

type Environment = Readonly<Record<string, string | undefined>>;

/** The content of a credentials file, not looked at yet. */
export interface CredentialsFile {
  readonly kind: "file";
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** What was found. */
export type FoundCredentials =
  | CredentialsFile
  /** A token that somebody else renews. */
  | { readonly kind: "token"; readonly token: string }
  /** Nothing: the machine's account may be asked for. */
  | { readonly kind: "machine" };

/** Looks for credentials; `named` is the file that the URI names. Throws MeantFailure for a file that cannot be used. */
export async function findCredentials(named: string | null, environment: Environment): Promise<FoundCredentials> {
  const given = named ?? nonEmpty(environment["GOOGLE_APPLICATION_CREDENTIALS"]);
  if (given !== null) return await readCredentials(given);
  const tokenFile = nonEmpty(environment["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]);
  if (tokenFile !== null) return { kind: "token", token: (await readText(tokenFile)).trim() };
  const ofGcloud = gcloudFile(environment);
  try {
    if (ofGcloud !== null) return await readCredentials(ofGcloud);
  } catch (error) {
    if (!(error instanceof MeantFailure) || (error.cause as { code?: unknown } | null)?.code !== "ENOENT") throw error;
  }
  return { kind: "machine" };
}

function gcloudFile(environment: Environment): string | null {
  const home = nonEmpty(environment["HOME"]);
  const applications = nonEmpty(environment["APPDATA"]);
  const folder =
    nonEmpty(environment["CLOUDSDK_CONFIG"]) ??
    (applications !== null && process.platform === "win32" ? join(applications, "gcloud") : null) ??
    (home === null ? null : join(home, ".config", "gcloud"));
  return folder === null ? null : join(folder, "application_default_credentials.json");
}

async function readCredentials(path: string): Promise<CredentialsFile> {
  const text = await readText(path);
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content === "object" && content !== null && "type" in content) {
      return { kind: "file", path, content };
    }
  } catch {
    // Falls through. The parser's message would repeat what stands in the file.
  }
  throw unusable(path, "it is no JSON file of Google credentials");
}

async function readText(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const status = await file.stat();
    if (!status.isFile()) throw unusable(path, "it is no file");
    if (status.size > FILE_BYTES_MAX) throw unusable(path, "it is too long");
    return await file.readFile("utf8");
  } catch (error) {
    if (error instanceof MeantFailure) throw error;
    throw unusable(path, (error as { code?: string }).code ?? "it cannot be read", error);
  }
}

/** A file that cannot be used, and why. */
export function unusable(path: string, reason: string, cause?: unknown): MeantFailure {
  const failure = new MeantFailure({
    code: "permission_denied",
    says: `the credentials file "${path}" cannot be used: ${reason}`,
    hint: 'Give a key file of a service account, a configuration of workload identity federation, or run "gcloud auth application-default login".',
  });
  failure.cause = cause;
  return failure;
}

function nonEmpty(text: string | undefined): string | null {
  return text === undefined || text === "" ? null : text;
}
