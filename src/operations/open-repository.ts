// Opens the repository that a user names.

import { openRepository, type Repository } from "../repository/index.ts";
import { openLocalStorage, type Storage } from "../storage/index.ts";
import type { RepositoryAccess } from "./operation.ts";

/** The storage of a location: so far a folder, as a path or file: URI. */
export function openStorageAt(location: string): Storage {
  return openLocalStorage(location);
}

/** Throws "no_repository", "wrong_key", "corrupt". The repository owns its storage. */
export async function openRepositoryAt(access: RepositoryAccess): Promise<Repository> {
  const storage = openStorageAt(access.location);
  try {
    const { givenPassphrase, givenRecoveryKey: recoveryKey } = access;
    if (givenPassphrase === null && recoveryKey !== undefined) return await openRepository(storage, { recoveryKey });
    return await openRepository(storage, { passphrase: givenPassphrase ?? (() => access.askPassphrase()) });
  } catch (error) {
    await storage[Symbol.asyncDispose]();
    throw error;
  }
}
