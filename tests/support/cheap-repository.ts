// A repository as `cairn init` makes it, but with a passphrase that is quickly tried: every command of a test opens it, and
// the usual scrypt is a third of the processor time of a short one. The usual cost is met in tests/cli and the quickstart.

import { createRepository } from "../../src/repository/index.ts";
import { openLocalStorage } from "../../src/storage/index.ts";

const SCRYPT_COST = { n: 2 ** 10, r: 8, p: 1 };

export interface CheapRepositoryOptions {
  /** Null: without encryption. */
  readonly passphrase: string | null;
  readonly packSizeBytes?: number;
}

/** Makes it in a local folder, and closes it. */
export async function createCheapRepository(path: string, options: CheapRepositoryOptions): Promise<void> {
  const { passphrase, packSizeBytes } = options;
  const { repository } = await createRepository(openLocalStorage(path), {
    encryption: passphrase === null ? { kind: "none" } : { kind: "passphrase", passphrase },
    scryptCost: SCRYPT_COST,
    ...(packSizeBytes === undefined ? {} : { packSizeBytes }),
  });
  await repository[Symbol.asyncDispose]();
}
