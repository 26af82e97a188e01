// What init is given and gives.

import type { KitKeeper } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

export interface InitSettings {
  readonly repository: RepositoryAccess;
  /** False only when the user said --no-encryption. */
  readonly isEncrypted: boolean;
  /** Of age; with any, the passphrase is not asked, and used only when it was given. */
  readonly recipients?: readonly string[];
  /** Whose id and keys the new one shall have; left out: new ones. */
  readonly like?: RepositoryAccess | undefined;
  /** Keeps the recovery kit; left out: nobody does. */
  readonly kit?: KitKeeper;
}

export interface InitResult {
  readonly repositoryId: string;
  readonly location: string;
  readonly isEncrypted: boolean;
  /** What opens it besides the recovery kit. */
  readonly hasPassphrase: boolean;
  readonly recipientCount: number;
  /** The repository whose id and keys it has; null: it has new ones. */
  readonly like: string | null;
}
