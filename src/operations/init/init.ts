// `cairn init`: makes a repository.

import { createRepository } from "../../repository/index.ts";
import { openStorageAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { InitResult, InitSettings } from "./types.ts";

/** Makes a repository where none is. Throws "repository_exists". */
export async function runInit(context: OperationContext, settings: InitSettings): Promise<InitResult> {
  context.signal.throwIfAborted();
  const { repository: access, isEncrypted } = settings;
  // Before anybody is asked for a passphrase: the location may be none.
  await using storage = await openStorageAt(access);
  const encryption = isEncrypted
    ? ({ kind: "passphrase", passphrase: access.givenPassphrase ?? (await access.askPassphrase()) } as const)
    : ({ kind: "none" } as const);
  const { repository: made, recoveryKit } = await createRepository(storage, { encryption });
  return { repositoryId: made.id, location: made.description, isEncrypted: made.isEncrypted, recoveryKit };
}
