// Makes the AWS client for a location. It signs and sends; retries, checksums and uploads in parts are our own.
// Credentials: the URI's profile, else the environment's keys, else the AWS client's chain: profile files, SSO, web
// identity, container role, instance role.

import { S3Client } from "@aws-sdk/client-s3";
import type { StorageSurroundings } from "../drivers.ts";
import { Retrier } from "../retrier.ts";
import type { Storage } from "../storage.ts";
import { parseS3Location } from "./s3-location.ts";
import type { S3Location } from "./s3-location.ts";
import { S3Requests } from "./s3-requests.ts";
import { signKnownDigests } from "./signed-digest.ts";
import { S3Storage } from "./s3-storage.ts";

const CONNECTION_TIMEOUT_MS = 10_000;
/** As a socket's timeout. */
const NEVER = 0;
/** More than all readers and writers of one run use at once: nobody waits for a connection. */
const CONNECTIONS_MAX = 128;

/** The client writes to the console unless it is given somewhere else to write. */
const SILENT_LOGGER = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Opens an s3: URI; sends nothing yet. Throws OperatingError "usage". */
export async function openS3Storage(uri: string, surroundings: StorageSurroundings): Promise<Storage> {
  const location = parseS3Location(uri, surroundings.environment);
  const retrier = new Retrier(surroundings.retries);
  const credentials = credentialsOf(location.profile, surroundings.environment);
  const usual = makeClient(location, credentials, retrier.policy.stallTimeoutMs);
  // The same credentials: what they are got from is asked once.
  const patient = makeClient(location, { credentials: usual.config.credentials }, NEVER);
  return await Promise.resolve(new S3Storage(new S3Requests({ usual, patient }, location, retrier)));
}

function makeClient(location: S3Location, credentials: object, socketTimeout: number): S3Client {
  const { endpoint, isPathStyle, region } = location;
  const agent = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
  const client = new S3Client({
    ...(region !== null && { region }),
    ...(endpoint === null ? { followRegionRedirects: true } : { endpoint }),
    ...credentials,
    forcePathStyle: isPathStyle,
    maxAttempts: 1,
    // Every request carries what lets the server check it already (checksums.ts).
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // With it the client opens a new connection for every part.
    expectContinueHeader: false,
    logger: SILENT_LOGGER,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      socketTimeout,
      httpAgent: agent,
      httpsAgent: agent,
      logger: SILENT_LOGGER,
    },
  });
  signKnownDigests(client);
  return client;
}

function credentialsOf(profile: string | null, environment: StorageSurroundings["environment"]): object {
  const accessKeyId = environment["AWS_ACCESS_KEY_ID"] ?? "";
  const secretAccessKey = environment["AWS_SECRET_ACCESS_KEY"] ?? "";
  if (profile !== null) return { profile };
  if (accessKeyId === "" || secretAccessKey === "") {
    const named = environment["AWS_PROFILE"] ?? "";
    return named === "" ? {} : { profile: named };
  }
  const sessionToken = environment["AWS_SESSION_TOKEN"] ?? "";
  return { credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== "" && { sessionToken }) } };
}
