// Whether the keys are still those that a process read when it opened the repository. A run that seals with the old data
// key while a new one is put into use would store what the change was meant to keep from the old one.
// Source: docs/formats/repository.md §3.

import { OperatingError } from "../base/errors.ts";
import { newestGeneration } from "./configuration-objects.ts";
import type { RepositoryContext } from "./context.ts";
import { KEY_KIND } from "./key-register.ts";
import type { ManifestObject } from "./manifest-objects.ts";
import type { RunObserver } from "./run-record.ts";
import { isDamage } from "./restore-point.ts";
import { HEADER_BYTES, ObjectCipher, UnknownDataKeyError } from "./sealing.ts";

/** Throws OperatingError "locked" when the keys were changed since, or are being changed. The run's record is written. */
export async function refuseChangedKeys(
  context: RepositoryContext,
  observer: RunObserver,
  generation: number,
  signal?: AbortSignal,
): Promise<void> {
  if (context.keyring.current === null) return;
  const runs = await observer.runs(signal);
  const isChanging = runs.some(({ record, state }) => state !== "dead" && record?.kind === KEY_KIND);
  if (!isChanging && (await newestGeneration(context.storage, signal)) <= generation) return;
  throw new OperatingError("locked", "the keys of the repository were changed just now", {
    hint: "Run it again.",
    retryable: true,
  });
}

/**
 * Throws OperatingError "wrong_key" where that manifest is sealed with a key which this repository does not have.
 * Reads its header alone; what else is wrong with it is not judged.
 */
export async function refuseUnknownKeyOf(
  context: RepositoryContext,
  { name, sizeBytes }: ManifestObject,
  signal?: AbortSignal,
): Promise<void> {
  if (sizeBytes < HEADER_BYTES) return;
  try {
    const header = await context.storage.read(name, { offset: 0, lengthBytes: HEADER_BYTES }, signal);
    new ObjectCipher(context.keyring, name, header);
  } catch (error) {
    refuseUnknownKey(error);
    if (!isDamage(error)) throw error;
  }
}

/** Throws OperatingError "wrong_key" for an object that is sealed with a key which this repository does not have. */
export function refuseUnknownKey(error: unknown): void {
  if (!(error instanceof UnknownDataKeyError) || !error.isOther) return;
  throw new OperatingError("wrong_key", error.message, {
    detail:
      "The newest restore point has a data key that the repository's configuration does not name. If somebody has put older keys back, " +
      "what is stored from now on would be sealed with a key that was meant to be out of use.",
    hint: 'Put the newest "cairn.json" and "keys/" back, from a copy; or delete that object if it is not yours.',
    cause: error,
  });
}
