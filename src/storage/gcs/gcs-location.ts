// What a gs: URI says: gs://BUCKET/PREFIX?project=…&endpoint=…; docs/operating/off-site.md explains each setting to
// users. What is not said comes from the environment's variables, else a default. Nothing here is secret.

import { OperatingError } from "../../base/errors.ts";
import { parseLocation } from "../storage-location.ts";
import type { LocationParts } from "../storage-location.ts";

const FORM = "gs://BUCKET/PREFIX?project=PROJECT";
const SETTING_NAMES = ["endpoint", "project", "credentials", "storage-class", "kms-key"] as const;
type SettingName = (typeof SETTING_NAMES)[number];

const GOOGLE = "https://storage.googleapis.com";
/** Google's rules for names, and a length for names with dots. */
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/;
/** A name is at most 1,024 bytes, and Cairn's own part may take 512 of them. */
const PREFIX_BYTES_MAX = 500;
const WORD = /^[A-Za-z0-9_.:/-]{1,256}$/;
/** In place of a file's name: requests carry no credentials. */
export const NO_CREDENTIALS = "none";

/** Where a bucket is and how its objects are written. */
export interface GcsLocation {
  readonly bucket: string;
  /** "" or ending with "/". */
  readonly prefix: string;
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** True where the endpoint is Google's own public one. */
  readonly isGoogle: boolean;
  /** The project that pays for requests; null: the bucket's own. */
  readonly project: string | null;
  /** A file of credentials, "none" for no credentials at all, null: as the environment says. */
  readonly credentials: string | null;
  readonly storageClass: string | null;
  readonly kmsKey: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads a gs: URI. Throws OperatingError "usage". */
export function parseGcsLocation(location: string, environment: Environment): GcsLocation {
  const parts = parseLocation(location, { form: FORM, settingNames: SETTING_NAMES });
  const { host: bucket, path, port } = parts;
  if (!BUCKET.test(bucket) || port !== "") throw wrong(`"${bucket}${port && ":"}${port}" is no name of a bucket`);
  if (Buffer.byteLength(path) > PREFIX_BYTES_MAX) throw wrong(`the prefix is longer than ${PREFIX_BYTES_MAX} bytes`);
  const { endpoint, isEmulator } = endpointOf(parts, environment);
  const credentials = parts.settings.get("credentials") ?? (isEmulator ? NO_CREDENTIALS : null);
  if (credentials !== NO_CREDENTIALS) refusePlainText(endpoint);
  return {
    bucket,
    prefix: path === "" ? "" : `${path}/`,
    endpoint,
    isGoogle: endpoint === GOOGLE,
    project: word(parts, "project") ?? environment["GOOGLE_CLOUD_QUOTA_PROJECT"] ?? null,
    credentials,
    storageClass: word(parts, "storage-class"),
    kmsKey: word(parts, "kms-key"),
  };
}

/** The URI's endpoint, else an emulator, else what gcloud is told, else Google's. */
function endpointOf(parts: LocationParts, environment: Environment): { endpoint: string; isEmulator: boolean } {
  const named = parts.settings.get("endpoint");
  const emulator = environment["STORAGE_EMULATOR_HOST"] ?? "";
  if (named === undefined && emulator !== "") {
    const text = /^https?:\/\//.test(emulator) ? emulator : `http://${emulator}`;
    return { endpoint: addressOf(text, "STORAGE_EMULATOR_HOST"), isEmulator: true };
  }
  const override = environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] ?? "";
  if (named === undefined && override !== "") {
    // gcloud's is the address of the interface, not of the host.
    const address = addressOf(override, "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE").replace(/\/storage\/v1$/, "");
    return { endpoint: address, isEmulator: false };
  }
  return { endpoint: named === undefined ? GOOGLE : addressOf(named, "its endpoint"), isEmulator: false };
}

function addressOf(text: string, what: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.search !== "" || url.hash !== "") {
    throw wrong(`${what} is no http: or https: address`);
  }
  if (url.username !== "" || url.password !== "") throw wrong(`${what} holds credentials`);
  return url.href.replace(/\/+$/, "");
}

/** Google's credentials are tokens: who sees one can use it. */
function refusePlainText(endpoint: string): void {
  const { hostname, protocol } = new URL(endpoint);
  const isLocal = hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
  if (protocol === "https:" || isLocal) return;
  throw wrong("its endpoint is http:, where others could read the credentials on their way", {
    hint: 'Use https:, or "credentials=none" for a server that wants none.',
  });
}

function word(parts: LocationParts, name: SettingName): string | null {
  const value = parts.settings.get(name) ?? null;
  if (value !== null && !WORD.test(value)) throw wrong(`its "${name}" holds characters that are not allowed`);
  return value;
}

function wrong(reason: string, options: { readonly hint?: string } = {}): OperatingError {
  return new OperatingError("usage", `the gs: URI cannot be used: ${reason}`, {
    hint: `The form is ${FORM}.`,
    ...options,
  });
}
