// For tests of copies: pairs of small repositories, made alike or not, and looks at what is in them.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { openLocalStorage } from "../../storage/index.ts";
import type { Storage } from "../../storage/index.ts";
import { createRepository, openRepository } from "../index.ts";
import type { Repository } from "../index.ts";
import { CHEAP_SCRYPT, PASSPHRASE, readTables } from "../repository.fixture.ts";
import type { TableTexts } from "../repository.fixture.ts";

const OTHER_PASSPHRASE = "another battery staple";
const SMALL = { scryptCost: CHEAP_SCRYPT, packSizeBytes: 16 * 1024 };

/** Whether packs move as they are, or chunks are sealed anew. */
export type Mode = "alike" | "not alike";
export const MODES: readonly Mode[] = ["alike", "not alike"];

/** A repository in a folder, opened by its own passphrase. */
export interface Place {
  readonly path: string;
  readonly passphrase: string;
}

/** Two empty repositories below a folder. */
export async function makePair(folder: string, mode: Mode): Promise<{ readonly from: Place; readonly to: Place }> {
  const from = { path: join(folder, "from"), passphrase: PASSPHRASE };
  const to = { path: join(folder, "to"), passphrase: OTHER_PASSPHRASE };
  const encryption = { kind: "passphrase", passphrase: from.passphrase } as const;
  const { repository } = await createRepository(openLocalStorage(from.path), { ...SMALL, encryption });
  const other = { ...SMALL, encryption: { kind: "passphrase", passphrase: to.passphrase } as const };
  if (mode === "alike") await repository.createLike(openLocalStorage(to.path), other);
  else await createRepository(openLocalStorage(to.path), other);
  return { from, to };
}

/** Opens it as another process would. */
export async function openPlace(place: Place, storage: Storage = openLocalStorage(place.path)): Promise<Repository> {
  return await openRepository(storage, { passphrase: place.passphrase });
}

/** The packs below a folder: their bytes by their names. */
export async function packsIn({ path }: Place): Promise<Map<string, Buffer>> {
  const entries = await readdir(join(path, "packs"), { recursive: true, withFileTypes: true }).catch(() => []);
  const packs = new Map<string, Buffer>();
  for (const entry of entries) {
    if (entry.isFile() && !entry.name.startsWith(".")) {
      packs.set(entry.name, await readFile(join(entry.parentPath, entry.name)));
    }
  }
  return packs;
}

/** What a restore point has in its tables; null unless every byte of it verifies. */
export async function wholeTables(repository: Repository, id: string): Promise<TableTexts | null> {
  const restorePoint = await repository.openRestorePoint(id);
  const { isWhole } = await repository.verifyRestorePoint(restorePoint, { isMarked: false });
  return isWhole ? await readTables(restorePoint) : null;
}
