// The drivers, by the scheme of their URIs. A new storage is a folder beside this file and one line in this table.
// Drivers are loaded only when their scheme is used: the libraries behind them take long to start.

import type { BandwidthLimits } from "./limited-storage.ts";
import type { RetrierSettings } from "./retrier.ts";
import type { Storage } from "./storage.ts";

/** What a storage is opened with besides its location. */
export interface StorageSurroundings extends BandwidthLimits {
  /** The caller's environment: credentials, regions, endpoints. Drivers read no other. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How requests over a network are sent again. */
  readonly retries?: RetrierSettings | undefined;
}

/** Opens the storage at a URI of the driver's scheme; sends nothing yet. Throws OperatingError "usage". */
export type OpenDriver = (location: string, surroundings: StorageSurroundings) => Promise<Storage>;

export const DRIVERS: Readonly<Record<string, OpenDriver>> = {
  file: async (location) => (await import("./local/local-storage.ts")).openLocalStorage(location),
  s3: async (location, surroundings) => (await import("./s3/open-s3-storage.ts")).openS3Storage(location, surroundings),
  sftp: async (location, surroundings) =>
    (await import("./sftp/open-sftp-storage.ts")).openSftpStorage(location, surroundings),
  azure: async (location, surroundings) =>
    (await import("./azure/open-azure-storage.ts")).openAzureStorage(location, surroundings),
  gs: async (location, surroundings) =>
    (await import("./gcs/open-gcs-storage.ts")).openGcsStorage(location, surroundings),
  webdav: async (location, surroundings) =>
    (await import("./webdav/open-webdav-storage.ts")).openWebdavStorage(location, surroundings),
};
