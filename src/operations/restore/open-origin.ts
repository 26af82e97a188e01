// Opens what is to be restored: a restore point of a repository, or an archive file as it lies on disk.

import { basename } from "node:path";

import type { ArchiveContents } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import type { Repository } from "../../repository/index.ts";
import { openRestorableSource } from "../archive-source/index.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import type { RestoreSettings } from "./types.ts";

/** Contents to be restored, and where they are from; dispose of it. */
export interface RestoreOrigin extends AsyncDisposable {
  readonly contents: ArchiveContents;
  /** Bytes by dump id, where they are known: the largest are restored first. */
  readonly sizes: ReadonlyMap<number, number>;
  /** True when these are the sizes of the data as it will be sent; false when it is compressed. */
  readonly areSizesExact: boolean;
  /** Null for a file. */
  readonly restorePointId: string | null;
  /** Absolute; null for a restore point. */
  readonly file: string | null;
  /** A short word for names that are made up. */
  readonly word: string;
  /** What was read so far. */
  transfer(): { readonly bytesRead: number; readonly requests: number };
  /** Throws when a file was written to meanwhile. */
  checkUnchanged(): Promise<void>;
}

/** Throws what opening a repository, a restore point or an archive throws. */
export async function openOrigin(context: OperationContext, settings: RestoreSettings): Promise<RestoreOrigin> {
  if (settings.file !== undefined) return await openFile(settings.file, context.signal);
  assert(settings.repository !== null, "what is no file is in a repository");
  const repository = await openRepositoryAt(settings.repository);
  try {
    const id = await repository.resolve(settings.reference, context.signal);
    const origin = await originInRepository(context, repository, id);
    return { ...origin, [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose]() };
  } catch (error) {
    await repository[Symbol.asyncDispose]();
    throw error;
  }
}

/** A restore point of a repository that stays open. */
export async function originInRepository(
  context: OperationContext,
  repository: Repository,
  id: string,
): Promise<RestoreOrigin> {
  const contents = await RestorePointContents.open(await repository.openRestorePoint(id, context.signal));
  return {
    contents,
    sizes: contents.sizes,
    areSizesExact: true,
    restorePointId: id,
    file: null,
    word: id.slice(0, 15).toLowerCase(),
    transfer: () => repository.transfer,
    checkUnchanged: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

async function openFile(file: string, signal: AbortSignal): Promise<RestoreOrigin> {
  const source = await openRestorableSource(file, signal);
  const { path, contents, transfer } = source;
  let sizes: ReadonlyMap<number, number>;
  try {
    sizes = await source.storedSizes();
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
  return {
    contents,
    sizes,
    areSizesExact: false,
    restorePointId: null,
    file: path,
    word: basename(path)
      .toLowerCase()
      .replaceAll(/[^a-z0-9_]+/g, "_")
      .slice(0, 15),
    transfer: () => transfer,
    checkUnchanged: () => source.checkUnchanged(),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
