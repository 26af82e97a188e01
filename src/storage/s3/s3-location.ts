// What an s3: URI says: s3://BUCKET/PREFIX?endpoint=…&region=…&…; docs/operating/off-site.md explains each setting to
// users. What is not said comes from the environment's AWS_* variables, else a default. Nothing here is secret.

import { OperatingError } from "../../base/errors.ts";
import { parseLocation } from "../storage-location.ts";
import type { LocationParts } from "../storage-location.ts";

const FORM = "s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION";
const SETTING_NAMES = [
  "endpoint",
  "region",
  "path-style",
  "profile",
  "storage-class",
  "sse",
  "sse-key",
  "checksum",
  "conditional-put",
] as const;
type SettingName = (typeof SETTING_NAMES)[number];

/** Bucket names of AWS, and the wider ones that others allow. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;
/** A key is at most 1,024 bytes, and an object's name may take 512 of them. */
const PREFIX_BYTES_MAX = 500;
const WORD = /^[A-Za-z0-9_.:/-]{1,256}$/;
/** Objects in these must be thawed before they can be read. */
const FROZEN_CLASSES = ["GLACIER", "DEEP_ARCHIVE"];
/** Other servers take any region that is signed consistently; this is the usual one. */
const REGION_OF_OTHERS = "us-east-1";

/** How the bytes of a request are confirmed by the server; each is besides the signed SHA-256 of every request. */
export const CHECKSUM_MODES = ["sha256", "crc32", "md5"] as const;
export type ChecksumMode = (typeof CHECKSUM_MODES)[number];

/** Where a bucket is and how its objects are written. */
export interface S3Location {
  readonly bucket: string;
  /** "" or ending with "/". */
  readonly prefix: string;
  /** Null: AWS. */
  readonly endpoint: string | null;
  /** Null: as the AWS client finds it. */
  readonly region: string | null;
  readonly isPathStyle: boolean;
  /** A profile of the AWS configuration files, null: as the environment says. */
  readonly profile: string | null;
  readonly storageClass: string | null;
  readonly encryption: {
    readonly algorithm: "AES256" | "aws:kms" | "aws:kms:dsse";
    readonly keyId: string | null;
  } | null;
  readonly checksum: ChecksumMode;
  /** False: the server is known to ignore conditions, and a substitute is used. */
  readonly isConditional: boolean;
}

/** Reads an s3: URI. Throws OperatingError "usage". */
export function parseS3Location(
  location: string,
  environment: Readonly<Record<string, string | undefined>>,
): S3Location {
  const parts = parseLocation(location, { form: FORM, settingNames: SETTING_NAMES });
  const { host: bucket, path, port } = parts;
  if (!BUCKET.test(bucket) || port !== "") throw wrong(`"${bucket}${port && ":"}${port}" is no name of a bucket`);
  if (Buffer.byteLength(path) > PREFIX_BYTES_MAX) throw wrong(`the prefix is longer than ${PREFIX_BYTES_MAX} bytes`);
  const endpoint = endpointOf(parts, environment);
  const region = word(parts, "region") ?? environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] ?? null;
  return {
    bucket,
    prefix: path === "" ? "" : `${path}/`,
    endpoint,
    region: region ?? (endpoint === null ? null : REGION_OF_OTHERS),
    isPathStyle: choice(parts, "path-style", ["true", "false"], endpoint === null ? "false" : "true") === "true",
    profile: parts.settings.get("profile") ?? null,
    storageClass: storageClassOf(parts),
    encryption: encryptionOf(parts),
    checksum: choice(parts, "checksum", CHECKSUM_MODES, "sha256"),
    isConditional: choice(parts, "conditional-put", ["on", "off"], "on") === "on",
  };
}

function endpointOf(parts: LocationParts, environment: Readonly<Record<string, string | undefined>>): string | null {
  const text =
    parts.settings.get("endpoint") ?? environment["AWS_ENDPOINT_URL_S3"] ?? environment["AWS_ENDPOINT_URL"] ?? "";
  if (text === "") return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.search !== "" || url.hash !== "") {
    throw wrong("its endpoint is no http: or https: address");
  }
  if (url.username !== "" || url.password !== "") throw wrong("its endpoint holds credentials");
  return url.href.replace(/\/$/, "");
}

function storageClassOf(parts: LocationParts): string | null {
  const storageClass = word(parts, "storage-class");
  if (storageClass === null || !FROZEN_CLASSES.includes(storageClass.toUpperCase())) return storageClass;
  throw wrong(`objects of storage class "${storageClass}" cannot be read when they are needed`, {
    hint: "Use STANDARD_IA or GLACIER_IR, which can be read at once.",
  });
}

function encryptionOf(parts: LocationParts): S3Location["encryption"] {
  const algorithm = choice(parts, "sse", ["none", "AES256", "aws:kms", "aws:kms:dsse"], "none");
  const keyId = word(parts, "sse-key");
  if (keyId !== null && !algorithm.startsWith("aws:kms")) throw wrong('"sse-key" is given without "sse=aws:kms"');
  return algorithm === "none" ? null : { algorithm, keyId };
}

function word(parts: LocationParts, name: SettingName): string | null {
  const value = parts.settings.get(name) ?? null;
  if (value !== null && !WORD.test(value)) throw wrong(`its "${name}" holds characters that are not allowed`);
  return value;
}

function choice<T extends string>(parts: LocationParts, name: SettingName, choices: readonly T[], usual: T): T {
  const value = parts.settings.get(name);
  if (value === undefined) return usual;
  const found = choices.find((one) => one === value);
  if (found === undefined) throw wrong(`its "${name}" is not one of ${choices.join(", ")}`);
  return found;
}

function wrong(reason: string, options: { readonly hint?: string } = {}): OperatingError {
  return new OperatingError("usage", `the s3: URI cannot be used: ${reason}`, {
    hint: `The form is ${FORM}.`,
    ...options,
  });
}
