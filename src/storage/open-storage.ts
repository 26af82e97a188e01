// Opens the storage that a user names: a folder's path, or a URI whose scheme has a driver.

import { OperatingError } from "../base/errors.ts";
import { DRIVERS } from "./drivers.ts";
import type { StorageSurroundings } from "./drivers.ts";
import { limitStorage } from "./limited-storage.ts";
import type { Storage } from "./storage.ts";
import { schemeOf } from "./storage-location.ts";

/** Opens a storage; nothing is sent and nothing is made yet. Throws OperatingError "usage" for what is no location. */
export async function openStorage(location: string, surroundings: StorageSurroundings): Promise<Storage> {
  const scheme = schemeOf(location);
  const driver = DRIVERS[scheme === "" ? "file" : scheme];
  if (driver === undefined) throw unknownScheme(location, scheme);
  return limitStorage(await driver(location, surroundings), surroundings);
}

function unknownScheme(location: string, scheme: string): OperatingError {
  const schemes = Object.keys(DRIVERS).map((name) => `${name}:`);
  const isUri = location.startsWith("//", scheme.length + 1);
  return new OperatingError("usage", `there is no storage for "${scheme}:"`, {
    hint: `A repository is a folder, or a URI that begins with ${schemes.join(", ")}.${isUri ? "" : ` A folder of that name is "./${scheme}:…".`}`,
  });
}
