// Lineages: who is meant by a name, and where its restore points lie. Source: docs/formats/repository.md §2.
// Two databases under one name are two lineages; the name alone then means both, and NAME#KEY one of them.

import type { Keyring } from "./keys.ts";
import { mac } from "./keys.ts";
import type { Lineage } from "./manifest.ts";

const KEY_BYTES = 16;
export const SHORT_KEY_DIGITS = 8;

/** A lineage of a repository, as its newest readable restore point tells it. */
export interface LineageFacts extends Lineage {
  /** Folder name, 32 hex digits. */
  readonly key: string;
  /** The name, with `#` and the key's first digits when another lineage has the same name. */
  readonly label: string;
  readonly restorePointCount: number;
  readonly newestId: string;
}

/** The folder of a lineage. */
export function lineageKeyOf(keyring: Keyring, lineage: Lineage): string {
  const { databaseOid, name, systemIdentifier } = lineage;
  const bytes = mac(keyring.lineageSecret, `${name}\0${systemIdentifier}\0${databaseOid}`);
  return Buffer.from(bytes.subarray(0, KEY_BYTES)).toString("hex");
}

/** Labels that tell lineages apart. */
export function labelLineages(lineages: readonly Omit<LineageFacts, "label">[]): LineageFacts[] {
  const counts = new Map<string, number>();
  for (const { name } of lineages) counts.set(name, (counts.get(name) ?? 0) + 1);
  return lineages.map((lineage) => {
    const isShared = counts.get(lineage.name)! > 1;
    return { ...lineage, label: isShared ? `${lineage.name}#${lineage.key.slice(0, SHORT_KEY_DIGITS)}` : lineage.name };
  });
}
