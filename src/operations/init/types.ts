// What init is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface InitSettings {
  readonly repository: RepositoryAccess;
  /** False only when the user said --no-encryption. */
  readonly isEncrypted: boolean;
}

export interface InitResult {
  readonly repositoryId: string;
  readonly location: string;
  readonly isEncrypted: boolean;
  /** Text to be printed or kept, never logged; null without encryption. */
  readonly recoveryKit: string | null;
}
