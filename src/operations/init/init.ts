// `cairn init`: makes a repository.

import { OperatingError } from "../../base/errors.ts";
import { createRepository, type CreateOptions, type Repository } from "../../repository/index.ts";
import { openRepositoryAt, openStorageAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { InitResult, InitSettings } from "./types.ts";

/** Makes a repository where none is. Throws "repository_exists". */
export async function runInit(context: OperationContext, settings: InitSettings): Promise<InitResult> {
  context.signal.throwIfAborted();
  const { repository: access, recipients = [] } = settings;
  // Before anybody is asked for a passphrase: the location may be none.
  await using storage = await openStorageAt(access);
  await using like = settings.like === undefined ? null : await openRepositoryAt(settings.like);
  if (like !== null) refuseOtherEncryption(like, settings);
  const encryption = await encryptionOf(settings);
  const { kit } = settings;
  const options = { encryption, memoryFolder: access.memoryFolder ?? null, ...(kit && { kit }) };
  const { repository: made } =
    like === null ? await createRepository(storage, options) : await like.createLike(storage, options);
  return {
    repositoryId: made.id,
    location: made.description,
    isEncrypted: made.isEncrypted,
    hasPassphrase: encryption.kind === "passphrase",
    recipientCount: new Set(recipients).size,
    like: like?.description ?? null,
  };
}

/** Before anybody is asked for a passphrase. */
function refuseOtherEncryption(like: Repository, { isEncrypted }: InitSettings): void {
  if (like.isEncrypted === isEncrypted) return;
  if (like.isEncrypted) {
    throw new OperatingError(
      "usage",
      `the repository in ${like.description} is encrypted, one like it is encrypted too`,
      {
        hint: 'Leave --no-encryption out. (Without --like, "cairn copy --allow-unencrypted" copies into an unencrypted one.)',
      },
    );
  }
  throw new OperatingError(
    "usage",
    `the repository in ${like.description} is not encrypted, nor would one like it be`,
    {
      hint: 'Say --no-encryption if it is meant. Without --like, "cairn copy" copies into an encrypted one.',
    },
  );
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
