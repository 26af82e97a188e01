// What key is given and gives.

import type { DataKeyFacts, KeySlotFacts, KitKeeper } from "../../repository/index.ts";
import type { RepositoryAccess } from "../operation.ts";

/** What is to be done with the keys. */
export type KeyChange =
  | { readonly action: "list" }
  | {
      readonly action: "add";
      readonly label: string | null;
      /** `age1…`; null: a passphrase. */
      readonly recipient: string | null;
      /** Called when the repository is open, and a passphrase is to be added. */
      readonly askNewPassphrase: () => Promise<string>;
    }
  | { readonly action: "remove"; readonly id: string }
  | { readonly action: "rotate"; readonly dropsOthers: boolean };

export interface KeySettings {
  readonly repository: RepositoryAccess;
  readonly change: KeyChange;
  /** Keeps the recovery kit of a new data key. */
  readonly kit: KitKeeper;
}

export interface KeyReport {
  readonly action: KeyChange["action"];
  readonly repositoryId: string;
  /** As they are now. */
  readonly slots: readonly KeySlotFacts[];
  /** Newest first. */
  readonly dataKeys: readonly DataKeyFacts[];
  /** The slot that was added or removed, and those that a new data key left out. */
  readonly added: KeySlotFacts | null;
  readonly removed: readonly KeySlotFacts[];
  /** Objects that hold the keys as they were, because the storage did not let them go. */
  readonly remaining: readonly { readonly name: string; readonly reason: string }[];
}
