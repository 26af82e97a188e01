// For tests of prune: a repository whose clock is set by hand, tables of incompressible rows, and looks at what is there.

import { deepEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openLocalStorage } from "../../storage/index.ts";
import type { Storage } from "../../storage/index.ts";
import { openRepository } from "../index.ts";
import type { PruneOptions, PruneResult, Repository, RetentionRules } from "../index.ts";
import { backUp, NO_RULES, PASSPHRASE, readTables, smallRepository } from "../repository.fixture.ts";
import type { TableTexts } from "../repository.fixture.ts";

export const DAY_MS = 86_400_000;
const BEGIN_MS = Date.UTC(2026, 10, 1, 12);

/** Rows that do not compress, about `sizeBytes` of them; the same for the same seed. */
export function rows(seed: string, sizeBytes = 3000): string {
  let text = "";
  for (let index = 0; text.length < sizeBytes; index += 1) {
    text += `${createHash("sha256").update(`${seed}#${index}`).digest("base64")}\n`;
  }
  return text;
}

/** A repository in a folder, and a clock that is moved by hand. */
export class PruneBench {
  readonly path: string;
  /** Restore points that must be whole, and what is in them. */
  readonly expected = new Map<string, TableTexts>();
  /** Backups store what changed as deltas. */
  makesDeltas = false;
  nowMs = BEGIN_MS;
  monotonicMs = 0;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(path: string): Promise<PruneBench> {
    await smallRepository(openLocalStorage(path));
    return new PruneBench(path);
  }

  /** The same for a copy of the folder. */
  at(path: string): PruneBench {
    const copy = new PruneBench(path);
    for (const [id, tables] of this.expected) copy.expected.set(id, tables);
    copy.makesDeltas = this.makesDeltas;
    [copy.nowMs, copy.monotonicMs] = [this.nowMs, this.monotonicMs];
    return copy;
  }

  /** Expects of the restore points that are gone, and of those nobody was told of, only what is there. */
  async forgetMissing(): Promise<void> {
    const opened = await this.open();
    const found = (await opened.restorePoints()).map(({ id }) => id);
    for (const id of this.expected.keys()) if (!found.includes(id)) this.expected.delete(id);
    for (const id of found) {
      if (!this.expected.has(id)) this.expected.set(id, await readTables(await opened.openRestorePoint(id)));
    }
  }

  /** Opens it, as another process would. */
  async open(storage: Storage = openLocalStorage(this.path)): Promise<Repository> {
    const clock = { now: () => new Date(this.nowMs), monotonicMs: () => this.monotonicMs };
    return await openRepository(storage, { passphrase: PASSPHRASE, clock });
  }

  /** Backs up an hour later. */
  async backUp(tables: TableTexts, repository?: Repository): Promise<string> {
    this.nowMs += DAY_MS / 24;
    const facts = { snapshotAt: new Date(this.nowMs).toISOString() };
    const { id } = await backUp(repository ?? (await this.open()), { tables, facts, makesDeltas: this.makesDeltas });
    this.expected.set(id, tables);
    return id;
  }

  /** Expires all but the newest `count`. */
  async keepLast(count: number, repository?: Repository): Promise<void> {
    const rules: RetentionRules = { ...NO_RULES, last: count };
    const opened = repository ?? (await this.open());
    const decisions = await opened.expire({ rules, isDryRun: false });
    for (const { id, isKept } of decisions) if (!isKept) this.expected.delete(id);
  }

  async prune(options: Partial<PruneOptions> = {}, repository?: Repository): Promise<PruneResult> {
    const defaults = { graceMs: DAY_MS, unusedFractionMax: 0, isDryRun: false, isWaiting: true };
    return await (repository ?? (await this.open())).prune({ ...defaults, ...options });
  }

  /** Names of the files below a folder of the repository. */
  async files(folder: string): Promise<string[]> {
    const entries = await readdir(join(this.path, folder), { recursive: true, withFileTypes: true }).catch(() => []);
    const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith("."));
    return files.map(({ name }) => name).toSorted();
  }

  /** Every restore point that was not expired is there, verifies, and holds what was backed up. */
  async expectWhole(repository?: Repository): Promise<void> {
    const opened = repository ?? (await this.open());
    const found = (await opened.restorePoints()).map(({ id }) => id);
    deepEqual(found.toSorted(), [...this.expected.keys()].toSorted());
    for (const [id, tables] of this.expected) {
      const restorePoint = await opened.openRestorePoint(id);
      const { damage } = await opened.verifyRestorePoint(restorePoint, { isMarked: false });
      deepEqual(damage, []);
      deepEqual(await readTables(restorePoint), tables);
    }
  }
}

/** "action name" of each decision, sorted. */
export function actions(result: PruneResult): string[] {
  return result.decisions.map(({ action, failure }) => (failure === null ? action : `${action} failed`)).toSorted();
}
