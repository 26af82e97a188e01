// Opens the repository that a user names.

import { ListsAhead, openRepository, type OpenOptions, type Repository } from "../repository/index.ts";
import { openStorage, type Storage } from "../storage/index.ts";
import type { RepositoryAccess } from "./operation.ts";

/** The storage of a repository that is there or shall be made: a folder, or a URI of a storage behind a network. */
export async function openStorageAt(access: Pick<RepositoryAccess, "location" | "storage">): Promise<Storage> {
  const { downloadBytesPerSecond, environment = {}, uploadBytesPerSecond } = access.storage ?? {};
  return await openStorage(access.location, {
    environment,
    downloadBytesPerSecond,
    uploadBytesPerSecond,
    retries: { onRetry: (retry) => access.storage?.onRetry(retry) },
  });
}

/** What was given to open a repository with: identities and a passphrase, else a recovery key, else somebody is asked. */
export function openOptionsOf(access: RepositoryAccess): OpenOptions {
  const { givenIdentities: identities, givenPassphrase, givenRecoveryKey: recoveryKey } = access;
  const memory = { memoryFolder: access.memoryFolder ?? null };
  const given = givenPassphrase === null ? {} : { passphrase: givenPassphrase };
  if (identities !== undefined) return { ...memory, ...given, identities };
  if (givenPassphrase === null && recoveryKey !== undefined) return { ...memory, recoveryKey };
  return { ...memory, passphrase: givenPassphrase ?? (async () => await access.askPassphrase()) };
}

/** True when nobody is asked for anything while it is opened. */
export function opensByItself(access: RepositoryAccess): boolean {
  const { identities, passphrase } = openOptionsOf(access);
  return typeof identities !== "function" && typeof passphrase !== "function";
}

/** How a repository is opened. */
interface OpeningOptions {
  /** True: what an overview lists is listed while the repository is being unlocked. */
  readonly listsAhead?: boolean;
}

/** Throws "no_repository", "wrong_key", "corrupt". The repository owns its storage. */
export async function openRepositoryAt(
  access: RepositoryAccess,
  { listsAhead = false }: OpeningOptions = {},
): Promise<Repository> {
  const opened = await openStorageAt(access);
  const storage = listsAhead ? new ListsAhead(opened) : opened;
  try {
    const options = { ...openOptionsOf(access), cacheFolder: access.cacheFolder ?? null };
    return await untilAborted(openRepository(storage, options), access.storage?.signal);
  } catch (error) {
    await storage[Symbol.asyncDispose]();
    throw error;
  }
}

/** A storage that does not answer must not hold up the end. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    work.catch(() => undefined);
  }
}
