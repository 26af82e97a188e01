// Which configuration of a repository counts, and how a new one takes its place. Each change of keys is a new object,
// keys/<generation>, written where none is: of two changes at once one wins. cairn.json is then written anew as its copy
// (the only object that ever is, where the storage allows it) and older ones are deleted, so that nobody who gets the
// storage later can try a passphrase whose slot was removed. Source: docs/formats/repository.md §3.

import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import type { Storage } from "../storage/index.ts";
import { decodeConfiguration, encodeConfiguration, GENERATION_MAX } from "./configuration.ts";
import type { Configuration, ConfigurationFile } from "./configuration.ts";
import { CONFIGURATION_NAME, generationOfObject, KEYS_PREFIX, keysObjectName } from "./identifiers.ts";
import type { DataKey } from "./keys.ts";

/** The newest generation among the objects under keys/; 0 when there is none. */
export async function newestGeneration(storage: Storage, signal?: AbortSignal): Promise<number> {
  let newest = 0;
  for await (const { name } of storage.list(KEYS_PREFIX, signal))
    newest = Math.max(newest, generationOfObject(name) ?? 0);
  return newest;
}

/** The configuration that counts, not yet authentic. Throws OperatingError "no_repository", "corrupt". */
export async function readConfigurationFile(storage: Storage): Promise<ConfigurationFile> {
  const newest = await newestGeneration(storage);
  try {
    const file = decodeConfiguration(await storage.read(CONFIGURATION_NAME));
    if ((file.configuration.generation ?? 0) >= newest) return file;
  } catch (error) {
    if (newest === 0) throw isOperatingError(error, "not_found") ? noRepository(storage, error) : error;
    if (!isOperatingError(error, "not_found") && !isOperatingError(error, "corrupt")) throw error;
  }
  const name = keysObjectName(newest);
  // Never an older one instead: then whoever can damage an object could bring back a slot that was removed.
  const file = await readNewest(storage, name);
  if (file.configuration.generation === newest) return file;
  throw new OperatingError("corrupt", `could not read "${name}": it is of another generation`);
}

async function readNewest(storage: Storage, name: string): Promise<ConfigurationFile> {
  try {
    return decodeConfiguration(await storage.read(name), name);
  } catch (error) {
    if (!isOperatingError(error, "not_found")) throw error;
    throw new OperatingError("locked", "the keys of the repository were changed just now", {
      hint: "Run it again.",
      retryable: true,
      cause: error,
    });
  }
}

function noRepository(storage: Storage, cause: unknown): OperatingError {
  return new OperatingError("no_repository", `there is no repository in ${storage.description}`, {
    hint: 'Check the address, or make a repository there with "cairn init".',
    cause,
  });
}

/** What became of the objects that a new configuration supersedes. */
export interface Superseded {
  /** Objects that hold an older configuration still, with the reason. */
  readonly remaining: readonly { readonly name: string; readonly reason: string }[];
}

/** Nobody can say whether a change of the keys counts: it was sent, and the storage failed before it was confirmed. */
export class KeyChangeInDoubtError extends OperatingError {
  constructor(cause: unknown) {
    const code = isOperatingError(cause) ? cause.code : "internal";
    super(code, `it is not known whether the keys were changed: ${messageOf(cause)}`, {
      hint: 'Look at "cairn key list", and run it again if it is still needed.',
      cause,
    });
  }
}

/**
 * Makes a configuration of the next generation the one that counts. Throws OperatingError "locked" beside another change,
 * and KeyChangeInDoubtError.
 */
export async function writeNextConfiguration(
  storage: Storage,
  configuration: Configuration,
  dataKey: DataKey,
): Promise<Superseded> {
  const { generation = 0 } = configuration;
  if (generation > GENERATION_MAX) throw new OperatingError("value_too_large", "the keys were changed too often");
  const bytes = encodeConfiguration(configuration, dataKey);
  await putNext(storage, generation, bytes);
  try {
    await confirm(storage, generation, bytes);
  } catch (error) {
    throw isOperatingError(error, "locked") ? error : new KeyChangeInDoubtError(error);
  }
  return await supersede(storage, bytes, generation);
}

async function putNext(storage: Storage, generation: number, bytes: Uint8Array): Promise<void> {
  const name = keysObjectName(generation);
  try {
    await storage.put(name, bytes, { ifAbsent: true });
  } catch (error) {
    // An answer may have been lost: what is there tells.
    const found = await storage.read(name).catch(() => null);
    if (found !== null && Buffer.compare(found, bytes) === 0) return;
    if (found !== null || isOperatingError(error, "repository_exists")) throw changedMeanwhile();
    throw new KeyChangeInDoubtError(error);
  }
}

async function confirm(storage: Storage, generation: number, bytes: Uint8Array): Promise<void> {
  const name = keysObjectName(generation);
  const found = await storage.read(name).catch((error: unknown) => {
    if (isOperatingError(error, "not_found")) return null;
    throw error;
  });
  // The name may have been free only because what stood there was superseded and deleted: then this one began from keys
  // that had been changed since, and never counts.
  if ((await newestGeneration(storage)) > generation) {
    await storage.delete(name).catch(() => undefined);
    throw changedMeanwhile();
  }
  if (found !== null && Buffer.compare(found, bytes) === 0) return;
  throw new OperatingError("corrupt", `"${name}" was read back otherwise than it was written`);
}

function changedMeanwhile(): OperatingError {
  return new OperatingError("locked", "the keys of the repository were changed by somebody else meanwhile", {
    hint: 'Look at "cairn key list", and run it again if it is still needed.',
    retryable: true,
  });
}

/** From here on nothing fails: the new configuration counts already. */
async function supersede(storage: Storage, bytes: Uint8Array, generation: number): Promise<Superseded> {
  const remaining: { name: string; reason: string }[] = [];
  const attempt = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    await work().catch((error: unknown) => remaining.push({ name, reason: messageOf(error) }));
  };
  await attempt(CONFIGURATION_NAME, async () => {
    await storage.put(CONFIGURATION_NAME, bytes);
    if (Buffer.compare(await storage.read(CONFIGURATION_NAME), bytes) === 0) return;
    throw new OperatingError("corrupt", "it was read back otherwise than it was written");
  });
  const older: string[] = [];
  await attempt(KEYS_PREFIX, async () => {
    for await (const { name } of storage.list(KEYS_PREFIX)) {
      if ((generationOfObject(name) ?? generation) < generation) older.push(name);
    }
  });
  for (const name of older) await attempt(name, async () => await storage.delete(name));
  return { remaining };
}
