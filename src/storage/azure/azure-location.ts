// What an azure: URI says: azure://CONTAINER/PREFIX?account=…&endpoint=…&…; docs/operating/off-site.md explains each setting
// to users. Account and endpoint may also come from the environment, with the credentials. Nothing here is secret.
// Source: Azure Storage, "Naming and referencing containers, blobs, and metadata".

import { OperatingError } from "../../base/errors.ts";
import { parseLocation } from "../storage-location.ts";
import type { LocationParts } from "../storage-location.ts";
import type { GivenCredentials } from "./azure-credentials.ts";

const FORM = "azure://CONTAINER/PREFIX?account=ACCOUNT";
const SETTING_NAMES = ["account", "endpoint", "access-tier"] as const;

const CONTAINER = /^(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*$/;
const ACCOUNT = /^[a-z0-9]{3,24}$/;
/** A blob's name is at most 1,024 characters, and an object's name may take 512 of them. */
const PREFIX_BYTES_MAX = 500;
const USUAL_SUFFIX = "blob.core.windows.net";
const ACCESS_TIERS = ["Hot", "Cool", "Cold"] as const;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/** Where a container is and how its objects are written. */
export interface AzureLocation {
  readonly container: string;
  /** "" or ending with "/". */
  readonly prefix: string;
  /** Null where the endpoint says all that is needed. */
  readonly account: string | null;
  /** Address of the account, without a slash at its end. */
  readonly endpoint: string;
  /** Null: as the account has it. */
  readonly accessTier: (typeof ACCESS_TIERS)[number] | null;
}

/** Reads an azure: URI, with what the credentials say of their account. Throws OperatingError "usage". */
export function parseAzureLocation(location: string, given: GivenCredentials): AzureLocation {
  const parts = parseLocation(location, { form: FORM, settingNames: SETTING_NAMES });
  const { host: container, path, port } = parts;
  if (!CONTAINER.test(container) || port !== "") {
    throw wrong(`"${container}${port && ":"}${port}" is no name of a container`);
  }
  if (Buffer.byteLength(path) > PREFIX_BYTES_MAX) throw wrong(`the prefix is longer than ${PREFIX_BYTES_MAX} bytes`);
  // Azure takes one for a slash, and drops dots at the end of a part.
  if (/\\|\.(?:\/|$)/.test(path)) throw wrong("its path holds a backslash, or a part that ends with a dot");
  const account = accountOf(parts, given);
  const endpoint = endpointOf(parts, given, account);
  refuseOpenEndpoint(endpoint, given);
  return { container, prefix: path === "" ? "" : `${path}/`, account, endpoint, accessTier: accessTierOf(parts) };
}

function accountOf(parts: LocationParts, given: GivenCredentials): string | null {
  const named = parts.settings.get("account") ?? null;
  const account = named ?? given.account;
  if (account !== null && !ACCOUNT.test(account)) {
    throw wrong("the account's name is not 3 to 24 lower-case letters and digits");
  }
  // They would be refused by the other account, with words that lead nowhere.
  if (named !== null && given.account !== null && given.kind !== "identity" && named !== given.account) {
    throw wrong(`it names account "${named}", and the credentials are those of "${given.account}"`, {
      hint: `Set ${given.source} for account "${named}".`,
    });
  }
  return account;
}

function endpointOf(parts: LocationParts, given: GivenCredentials, account: string | null): string {
  const text = parts.settings.get("endpoint") ?? given.endpoint;
  if (account === null && (text === null || given.kind === "key")) {
    throw wrong("it names no account", {
      hint: 'Add "account=ACCOUNT" to the URI, or set AZURE_STORAGE_ACCOUNT.',
    });
  }
  if (text === null) return `https://${account}.${USUAL_SUFFIX}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.search !== "" || url.hash !== "") {
    throw wrong("its endpoint is no http: or https: address");
  }
  if (url.username !== "" || url.password !== "") throw wrong("its endpoint holds credentials");
  return url.href.replace(/\/+$/, "");
}

/** A signature or a token travels with each request; a key only signs it. */
function refuseOpenEndpoint(endpoint: string, { kind }: GivenCredentials): void {
  const { hostname, protocol } = new URL(endpoint);
  if (protocol === "https:" || kind === "key" || (kind === "signature" && LOOPBACK.test(hostname))) return;
  const what = kind === "signature" ? "a shared access signature" : "an access token";
  throw wrong(`${what} could be read by others on the way to an http: endpoint`, {
    hint: "Use an https: endpoint.",
  });
}

function accessTierOf({ settings }: LocationParts): AzureLocation["accessTier"] {
  const name = settings.get("access-tier");
  if (name === undefined) return null;
  const tier = ACCESS_TIERS.find((one) => one.toLowerCase() === name.toLowerCase());
  if (tier !== undefined) return tier;
  throw wrong(`its "access-tier" is not one of ${ACCESS_TIERS.join(", ")}`, {
    hint: "Objects of the archive tier cannot be read when they are needed.",
  });
}

function wrong(reason: string, options: { readonly hint?: string } = {}): OperatingError {
  return new OperatingError("usage", `the azure: URI cannot be used: ${reason}`, {
    hint: `The form is ${FORM}.`,
    ...options,
  });
}
