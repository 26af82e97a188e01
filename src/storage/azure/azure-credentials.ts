// Which credentials the environment gives for Azure: a connection string, an account's key, a shared access signature, else
// an identity, for which @azure/identity is loaded only then. Nothing here is ever part of a message.
// Source: Azure CLI reference, "az storage" (names of variables); Azure Identity, "EnvironmentCredential".

import type { TokenCredential } from "@azure/identity";
import { OperatingError } from "../../base/errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const USUAL_SUFFIX = "core.windows.net";
/** What a signature's query may hold: pairs of names and encoded values. */
const SIGNATURE = /^[A-Za-z]+=[A-Za-z0-9%._~:/+=*-]+(?:&[A-Za-z]+=[A-Za-z0-9%._~:/+=*-]+)*$/;
const PUBLIC_AUTHORITIES = /^login\.(?:microsoftonline\.(?:com|us)|chinacloudapi\.cn|partner\.microsoftonline\.cn)$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** What the environment gives, and what it says of the account. */
export type GivenCredentials = {
  /** Null where the environment does not say. */
  readonly account: string | null;
  readonly endpoint: string | null;
  /** The variable that they come from, for hints. */
  readonly source: string;
} & (
  | { readonly kind: "key"; readonly key: string }
  /** The query of a URL, without "?". */
  | { readonly kind: "signature"; readonly signature: string; readonly expiresAtMs: number | null }
  | { readonly kind: "identity" }
);

/** The first that the environment has. Throws OperatingError "usage" where it cannot be understood. */
export function credentialsOf(environment: Environment): GivenCredentials {
  const value = (name: string): string | null => environment[name]?.trim() || null;
  const connection = value("AZURE_STORAGE_CONNECTION_STRING");
  if (connection !== null) return ofConnectionString(connection);
  const account = value("AZURE_STORAGE_ACCOUNT");
  const key = value("AZURE_STORAGE_KEY");
  if (key !== null) return ofKey(key, { account, endpoint: null, source: "AZURE_STORAGE_KEY" });
  const signature = value("AZURE_STORAGE_SAS_TOKEN");
  const place = { account, endpoint: null, source: "AZURE_STORAGE_SAS_TOKEN" };
  return signature === null ? { ...place, source: "AZURE_*", kind: "identity" } : ofSignature(signature, place);
}

interface Place {
  readonly account: string | null;
  readonly endpoint: string | null;
  readonly source: string;
}

function ofKey(key: string, place: Place): GivenCredentials {
  if (!BASE64.test(key)) throw malformed(place.source, "is no key of an account");
  return { ...place, kind: "key", key };
}

function ofSignature(text: string, place: Place): GivenCredentials {
  const signature = text.replace(/^\?/, "");
  const fields = SIGNATURE.test(signature) ? new URLSearchParams(signature) : null;
  if (fields === null || !fields.has("sig")) throw malformed(place.source, "is no shared access signature");
  const expiresAtMs = Date.parse(fields.get("se") ?? "");
  return { ...place, kind: "signature", signature, expiresAtMs: Number.isNaN(expiresAtMs) ? null : expiresAtMs };
}

function ofConnectionString(text: string): GivenCredentials {
  const source = "AZURE_STORAGE_CONNECTION_STRING";
  const fields = new Map<string, string>();
  for (const field of text.split(";").filter((one) => one.trim() !== "")) {
    const end = field.indexOf("=");
    if (end < 1) throw malformed(source, "is no connection string");
    fields.set(field.slice(0, end).trim().toLowerCase(), field.slice(end + 1).trim());
  }
  const account = fields.get("accountname") ?? null;
  const suffix = fields.get("endpointsuffix");
  const protocol = fields.get("defaultendpointsprotocol") ?? "https";
  const usual = account === null ? null : `${protocol}://${account}.blob.${suffix ?? USUAL_SUFFIX}`;
  const place = { account, endpoint: fields.get("blobendpoint") ?? usual, source };
  if (place.endpoint === null) throw malformed(source, "names neither an account nor a BlobEndpoint");
  const key = fields.get("accountkey");
  if (key !== undefined && account !== null) return ofKey(key, place);
  const signature = fields.get("sharedaccesssignature");
  if (signature !== undefined) return ofSignature(signature, place);
  throw malformed(source, "holds neither AccountName and AccountKey nor a SharedAccessSignature");
}

function malformed(source: string, problem: string): OperatingError {
  return new OperatingError("usage", `${source} ${problem}`, {
    hint: "Copy it anew from the account's page in the Azure portal, or from the Azure CLI.",
  });
}

/**
 * The credential of an identity: of a service principal or a workload where the environment names one, else what the
 * library finds: managed identity, `az login`. The latter reads the process's own environment, and nothing can be handed in.
 */
export async function identityOf(environment: Environment): Promise<TokenCredential> {
  const identity = await import("@azure/identity");
  silence(identity.logger);
  const value = (name: string): string => environment[name] ?? "";
  const [tenantId, clientId] = [value("AZURE_TENANT_ID"), value("AZURE_CLIENT_ID")];
  const authorityHost = value("AZURE_AUTHORITY_HOST");
  const options = authorityHost === "" ? {} : { authorityHost, disableInstanceDiscovery: isPrivate(authorityHost) };
  if (tenantId !== "" && clientId !== "") {
    const secret = value("AZURE_CLIENT_SECRET");
    if (secret !== "") return new identity.ClientSecretCredential(tenantId, clientId, secret, options);
    const certificatePath = value("AZURE_CLIENT_CERTIFICATE_PATH");
    const certificatePassword = value("AZURE_CLIENT_CERTIFICATE_PASSWORD");
    const certificate = { certificatePath, ...(certificatePassword !== "" && { certificatePassword }) };
    if (certificatePath !== "") {
      return new identity.ClientCertificateCredential(tenantId, clientId, certificate, options);
    }
    const tokenFilePath = value("AZURE_FEDERATED_TOKEN_FILE");
    if (tokenFilePath !== "") {
      return new identity.WorkloadIdentityCredential({ ...options, tenantId, clientId, tokenFilePath });
    }
  }
  return new identity.DefaultAzureCredential({
    ...options,
    ...(clientId !== "" && { managedIdentityClientId: clientId }),
  });
}

/** True for an authority that Microsoft's cannot vouch for: that of a cloud of one's own. */
function isPrivate(authorityHost: string): boolean {
  const host = URL.canParse(authorityHost) ? new URL(authorityHost).hostname : "";
  return !PUBLIC_AUTHORITIES.test(host);
}

/** A logger of the libraries. */
type LibraryLogger = {
  readonly [level in "error" | "warning" | "info" | "verbose"]: { enabled: boolean };
};

/** AZURE_LOG_LEVEL makes the libraries write to standard error; this one is kept quiet. */
export function silence(logger: LibraryLogger): void {
  for (const level of ["error", "warning", "info", "verbose"] as const) logger[level].enabled = false;
}
