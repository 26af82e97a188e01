// `cairn init`: makes a repository.

import { createRepository } from "../../repository/index.ts";
import { openStorageAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { InitResult, InitSettings } from "./types.ts";

/** Makes a repository where none is. Throws "repository_exists". */
export async function runInit(context: OperationContext, settings: InitSettings): Promise<InitResult> {
  context.signal.throwIfAborted();
  const { repository: access, isEncrypted } = settings;
  const encryption = isEncrypted
    ? ({ kind: "passphrase", passphrase: access.givenPassphrase ?? (await access.askPassphrase()) } as const)
    : ({ kind: "none" } as const);
  const { repository, recoveryKit } = await createRepository(openStorageAt(access.location), { encryption });
  await using made = repository;
  return { repositoryId: made.id, location: made.description, isEncrypted: made.isEncrypted, recoveryKit };
}
