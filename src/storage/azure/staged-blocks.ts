// Blocks of unfinished uploads. Azure keeps them under the name of the object to be: invisible, those of all writers of one
// name together, and drops them a week after the last one came. Each block's id tells whose it is and when its upload began.
// There is no request that drops them: an empty blob is put in their place and deleted. It bears a mark, and is no object.
// Source: Azure Storage REST API, "Put Block", "Put Block List", "Get Block List".

import { isOperatingError } from "../../base/errors.ts";
import { DISCARDED_MARK, isMissing, isNoObject } from "./azure-requests.ts";
import type { AzureRequests } from "./azure-requests.ts";

/** Tidying up after a failure must not take as long again as the failure did. */
export const TIDYING_ATTEMPTS_MAX = 3;
/** Azure takes no more for one blob. */
export const BLOCKS_MAX = 50_000;
/** Rounds of discarding: what was on its way may arrive late. */
const DISCARDS_MAX = 3;

// "cairn:" MARK ":" when it began, in seconds, in hexadecimal ":" NUMBER; all of one length, as Azure wants it.
const ID = /^cairn:([0-9a-f]{24}):([0-9a-f]{9}):(\d{5})$/;

/** An upload, as its blocks' ids tell of it. */
export interface Upload {
  /** Random, of one write: 24 hexadecimal digits. */
  readonly mark: string;
  readonly beganAtMs: number;
}

/** The id of a block of an upload; number 0 announces it and is not part of the object. */
export function blockId({ beganAtMs, mark }: Upload, number: number): string {
  const began = Math.floor(beganAtMs / 1000).toString(16).padStart(9, "0"); // prettier-ignore
  return Buffer.from(`cairn:${mark}:${began}:${String(number).padStart(5, "0")}`).toString("base64");
}

/** The upload that a block belongs to; null for what is not Cairn's. */
export function uploadOf(id: string): Upload | null {
  const match = ID.exec(Buffer.from(id, "base64").toString());
  return match === null ? null : { mark: match[1]!, beganAtMs: Number.parseInt(match[2]!, 16) * 1000 };
}

/** All blocks under a name that belong to no object. */
export interface StagedBlocks {
  readonly sizeBytes: number;
  /** The upload that began last; null where none is Cairn's. */
  readonly newest: Upload | null;
  /** Marks of all uploads; null stands for what is not Cairn's. */
  readonly marks: ReadonlySet<string | null>;
}

/** What is staged under a name; null when nothing is. */
export async function stagedBlocks(
  requests: AzureRequests,
  name: string,
  options: { readonly signal?: AbortSignal | undefined; readonly attemptsMax?: number } = {},
): Promise<StagedBlocks | null> {
  const blob = requests.blobOf(name);
  return await requests.run({ action: `could not list the blocks of "${name}"`, ...options }, async ({ signal }) => {
    try {
      const { uncommittedBlocks = [] } = await blob.getBlockList("uncommitted", { abortSignal: signal });
      return uncommittedBlocks.length === 0 ? null : summaryOf(uncommittedBlocks);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  });
}

function summaryOf(blocks: readonly { readonly name: string; readonly size: number }[]): StagedBlocks {
  const marks = new Set<string | null>();
  let sizeBytes = 0;
  let newest: Upload | null = null;
  for (const { name, size } of blocks) {
    const upload = uploadOf(name);
    marks.add(upload?.mark ?? null);
    sizeBytes += size;
    if (upload !== null && (newest === null || upload.beganAtMs > newest.beganAtMs)) newest = upload;
  }
  return { sizeBytes, newest, marks };
}

/**
 * Drops what is staged under a name while `isWanted` says so of it. Where there is an object of that name, its storage keeps
 * them until it drops them itself. Another writer of the same name that begins meanwhile fails, and is told so.
 */
export async function discardBlocks(
  requests: AzureRequests,
  name: string,
  isWanted: (staged: StagedBlocks) => boolean,
  signal?: AbortSignal,
): Promise<void> {
  const options = { signal, attemptsMax: TIDYING_ATTEMPTS_MAX };
  for (let rounds = 0; rounds < DISCARDS_MAX; rounds += 1) {
    const staged = await stagedBlocks(requests, name, options);
    if (staged === null || !isWanted(staged)) return;
    if (!(await putDiscarded(requests, name, signal))) return;
    await deleteDiscarded(requests, name, signal);
  }
}

/** Drops all blocks for an empty blob that is no object. False when there is an object of that name. */
async function putDiscarded(requests: AzureRequests, name: string, signal: AbortSignal | undefined): Promise<boolean> {
  const facts = { action: `could not drop the blocks of "${name}"`, signal, attemptsMax: TIDYING_ATTEMPTS_MAX };
  const options = { conditions: { ifNoneMatch: "*" }, metadata: { [DISCARDED_MARK]: "true" } };
  try {
    await requests.run(facts, async (attempt) => {
      await requests.blobOf(name).commitBlockList([], { ...options, abortSignal: attempt.signal });
    });
    return true;
  } catch (error) {
    if (!isOperatingError(error, "repository_exists")) throw error;
    // Ours, when an answer was lost, or another's; either is to be deleted.
    const facts = await requests.look(name, signal, TIDYING_ATTEMPTS_MAX);
    return facts !== null && isNoObject(facts);
  }
}

/** Deletes the empty blob that discardBlocks() made, by whomever, and never an object. True when it was there. */
export async function deleteDiscarded(requests: AzureRequests, name: string, signal?: AbortSignal): Promise<boolean> {
  const found = await requests.look(name, signal, TIDYING_ATTEMPTS_MAX);
  if (found === null || !(DISCARDED_MARK in found.metadata) || !isNoObject(found)) return false;
  await deleteVersion(requests, name, found.etag, signal);
  return true;
}

/** Deletes a blob as long as it is of that version; a newer one stays. */
export async function deleteVersion(
  requests: AzureRequests,
  name: string,
  etag: string,
  signal?: AbortSignal,
): Promise<void> {
  const facts = { action: `could not delete "${name}"`, signal, attemptsMax: TIDYING_ATTEMPTS_MAX };
  await requests.run(facts, async (attempt) => {
    try {
      await requests.blobOf(name).delete({ conditions: { ifMatch: etag }, abortSignal: attempt.signal });
    } catch (error) {
      if (!isMissing(error) && !isOfOtherVersion(error)) throw error;
    }
  });
}

function isOfOtherVersion(error: unknown): boolean {
  return (error as { readonly statusCode?: number }).statusCode === 412;
}
