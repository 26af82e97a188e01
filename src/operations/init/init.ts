// `cairn init`: makes a repository.

import { createRepository, type CreateOptions } from "../../repository/index.ts";
import { openStorageAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { InitResult, InitSettings } from "./types.ts";

/** Makes a repository where none is. Throws "repository_exists". */
export async function runInit(context: OperationContext, settings: InitSettings): Promise<InitResult> {
  context.signal.throwIfAborted();
  const { repository: access, recipients = [] } = settings;
  // Before anybody is asked for a passphrase: the location may be none.
  await using storage = await openStorageAt(access);
  const encryption = await encryptionOf(settings);
  const { repository: made, recoveryKit } = await createRepository(storage, { encryption });
  return {
    repositoryId: made.id,
    location: made.description,
    isEncrypted: made.isEncrypted,
    hasPassphrase: encryption.kind === "passphrase",
    recipientCount: new Set(recipients).size,
    recoveryKit,
  };
}

async function encryptionOf({
  isEncrypted,
  recipients = [],
  repository,
}: InitSettings): Promise<CreateOptions["encryption"]> {
  const { givenPassphrase } = repository;
  if (!isEncrypted) return { kind: "none" };
  if (givenPassphrase === null && recipients.length > 0) return { kind: "recipients", recipients };
  return { kind: "passphrase", passphrase: givenPassphrase ?? (await repository.askPassphrase()), recipients };
}
