// Opens a webdav: URI: finds the credentials and puts the parts together; sends nothing yet.

import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { StorageSurroundings } from "../drivers.ts";
import { Retrier } from "../retrier.ts";
import type { Storage } from "../storage.ts";
import { Authorization } from "./authorization.ts";
import { findCredentials } from "./credentials.ts";
import { Folders } from "./folders.ts";
import { HttpConnections } from "./http-exchange.ts";
import { KeepingBudget } from "./outgoing-bytes.ts";
import { Publisher } from "./publisher.ts";
import { Uploader } from "./uploader.ts";
import { parseWebdavLocation } from "./webdav-location.ts";
import { WebdavRequests } from "./webdav-requests.ts";
import { WebdavStorage } from "./webdav-storage.ts";

/** Two packs of the usual size. */
const KEPT_BYTES_MAX = 136 * MIB;

/** Hosts that bytes reach without a network. */
const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)$/i;

/** Opens a webdav: URI. Throws OperatingError "usage". */
export async function openWebdavStorage(uri: string, surroundings: StorageSurroundings): Promise<Storage> {
  const location = parseWebdavLocation(uri);
  const credentials = await findCredentials(surroundings.environment, location.host);
  if (credentials !== null && "token" in credentials && !location.isTls && !LOOPBACK.test(location.host)) {
    throw new OperatingError("usage", "CAIRN_WEBDAV_TOKEN would be sent over the network as it is", {
      hint: 'Use the server with TLS (without "tls=off"), or CAIRN_WEBDAV_USERNAME and CAIRN_WEBDAV_PASSWORD.',
    });
  }
  const authorization = new Authorization(credentials, location.isTls);
  const connections = new HttpConnections(location);
  const requests = new WebdavRequests(location, { authorization, connections }, new Retrier(surroundings.retries));
  const folders = new Folders(requests);
  const uploader = new Uploader(requests, folders, new KeepingBudget(KEPT_BYTES_MAX));
  const publisher = new Publisher(requests, folders);
  return new WebdavStorage(requests, { uploader, publisher, isOwncloud: location.isOwncloud });
}
