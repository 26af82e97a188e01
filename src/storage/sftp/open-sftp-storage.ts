// Opens an sftp: URI. Nothing is sent before the first request; one connection carries all of them.

import type { StorageSurroundings } from "../drivers.ts";
import { Retrier } from "../retrier.ts";
import type { Storage } from "../storage.ts";
import { parseSftpLocation } from "./sftp-location.ts";
import { SftpRequests } from "./sftp-requests.ts";
import { SftpStorage } from "./sftp-storage.ts";

/** Opens a storage on another host. Throws OperatingError "usage". */
export function openSftpStorage(uri: string, { environment, retries }: StorageSurroundings): Storage {
  const location = parseSftpLocation(uri, environment);
  return new SftpStorage(new SftpRequests(location, environment, new Retrier(retries)));
}
