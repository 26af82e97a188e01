// Makes a storage for a gs: location. Credentials are looked for with the first request; docs/operating/off-site.md says
// where, in which order.

import type { StorageSurroundings } from "../drivers.ts";
import { Retrier } from "../retrier.ts";
import type { Storage } from "../storage.ts";
import { NO_CREDENTIALS, parseGcsLocation } from "./gcs-location.ts";
import { GcsRequests } from "./gcs-requests.ts";
import { GcsStorage } from "./gcs-storage.ts";
import { HttpSender } from "./http-sender.ts";
import { TokenSource } from "./token-source.ts";

/** Opens a gs: URI; sends nothing yet. Throws OperatingError "usage". */
export async function openGcsStorage(uri: string, surroundings: StorageSurroundings): Promise<Storage> {
  const { environment } = surroundings;
  const location = parseGcsLocation(uri, environment);
  const retrier = new Retrier(surroundings.retries);
  const { stallTimeoutMs } = retrier.policy;
  const sender = new HttpSender({ environment, isPublic: location.credentials === NO_CREDENTIALS, stallTimeoutMs });
  const tokens = new TokenSource({ named: location.credentials, environment });
  return await Promise.resolve(new GcsStorage(new GcsRequests({ location, retrier, sender, tokens })));
}
