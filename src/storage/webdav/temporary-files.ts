// What lies in the folder of temporary files.

import { OperatingError } from "../../base/errors.ts";
import { nameInFolder } from "./multistatus.ts";
import { partsOf, TEMPORARY_FOLDER } from "./temporary-names.ts";
import type { WebdavRequests } from "./webdav-requests.ts";

/** A file that some writer, alive or dead, has there. */
export interface TemporaryFile {
  readonly fileName: string;
  /** "claim", or how the object is called in announcements. */
  readonly object: string;
  readonly writer: string;
  readonly sizeBytes: number;
  /** By the server's clock; 0: not said. */
  readonly modifiedAtMs: number;
}

/** All files of all writers, and the server's time. */
export async function temporaryFiles(
  requests: WebdavRequests,
  signal: AbortSignal | undefined,
): Promise<{ readonly files: readonly TemporaryFile[]; readonly serverTimeMs: number | null }> {
  const folder = requests.pathOf(TEMPORARY_FOLDER);
  const { entries, serverTimeMs } = await requests.list(folder, "could not list unfinished writes", signal);
  const files = entries.flatMap((entry) => {
    const fileName = nameInFolder(entry, folder);
    const parts = partsOf(fileName);
    if (parts === null || entry.isFolder) return [];
    if (entry.sizeBytes === null) {
      throw new OperatingError("storage_failed", `the server does not say the size of "${fileName}"`);
    }
    return [{ ...parts, fileName, sizeBytes: entry.sizeBytes, modifiedAtMs: entry.modifiedAtMs }];
  });
  return { files, serverTimeMs };
}
