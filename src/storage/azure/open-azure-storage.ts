// Makes the Azure client for a location. It signs and sends; retries, time limits and uploads in blocks are our own.
// Its own retries are off, and its log of requests is silent (with AZURE_LOG_LEVEL its retry policy still names errors of the
// network). A proxy in HTTPS_PROXY is its business: it reads that itself.

import { BlobServiceClient, logger, newPipeline, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { ContainerClient } from "@azure/storage-blob";
import type { StorageSurroundings } from "../drivers.ts";
import { Retrier } from "../retrier.ts";
import type { Storage } from "../storage.ts";
import { credentialsOf, identityOf, silence } from "./azure-credentials.ts";
import type { GivenCredentials } from "./azure-credentials.ts";
import { parseAzureLocation } from "./azure-location.ts";
import type { AzureLocation } from "./azure-location.ts";
import { AzureRequests } from "./azure-requests.ts";
import { AzureStorage } from "./azure-storage.ts";

/** Opens an azure: URI; sends nothing yet. Throws OperatingError "usage". */
export async function openAzureStorage(uri: string, surroundings: StorageSurroundings): Promise<Storage> {
  const given = credentialsOf(surroundings.environment);
  const location = parseAzureLocation(uri, given);
  silence(logger);
  const container = await makeClient(location, given, surroundings.environment);
  const retrier = new Retrier(surroundings.retries);
  const expiresAtMs = given.kind === "signature" ? given.expiresAtMs : null;
  return new AzureStorage(new AzureRequests(container, location, retrier, expiresAtMs));
}

async function makeClient(
  { account, container, endpoint }: AzureLocation,
  given: GivenCredentials,
  environment: StorageSurroundings["environment"],
): Promise<ContainerClient> {
  const credential =
    given.kind === "key" ? new StorageSharedKeyCredential(account ?? "", given.key)
    : given.kind === "identity" ? await identityOf(environment)
    : undefined; // prettier-ignore
  const address = given.kind === "signature" ? `${endpoint}?${given.signature}` : endpoint;
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 } });
  return new BlobServiceClient(address, pipeline).getContainerClient(container);
}
