// Names of files that are still being written. All lie in one folder of the repository, and are no object names. A name
// says who writes (to tell what a killed process left), and, once the file is about to get its name, for which object:
//
//   .cairn-tmp/0000000000000000.WRITER    being written
//   .cairn-tmp/<object>.WRITER            whole, announced: its writer is going to move it to the object's name
//   .cairn-tmp/claim.WRITER               empty; stands while a long upload is on its way, which servers may not show

import { createHash, randomBytes } from "node:crypto";
import { processState, thisProcess } from "../process-identity.ts";

export const TEMPORARY_FOLDER = ".cairn-tmp/";
const NEUTRAL = "0".repeat(16);
const WRITER = /^([0-9a-f]{12})-([0-9a-f]{1,8})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{16}$/;
const NAME = /^(claim|[0-9a-f]{16})\.([0-9a-z-]{1,90})$/;
/** A writer gives up after a day (webdav-writer.ts), so what is older has none. */
const DEAD_AFTER_MS = 2 * 24 * 3_600_000;
/** What a dead process has asked for last, the server may still be doing for so long. */
const SETTLED_AFTER_MS = 10 * 60_000;
/** Older than Cairn: the server does not tell the time. */
const MODIFIED_MIN = Date.UTC(2026, 0, 1);

/** A writer that no other one is called like. */
export function newWriter(): string {
  const { boot, host, processId, startTicks } = thisProcess();
  return `${host}-${boot}-${processId}-${startTicks}-${randomBytes(8).toString("hex")}`;
}

export const neutralName = (writer: string): string => `${TEMPORARY_FOLDER}${NEUTRAL}.${writer}`;
export const claimName = (writer: string): string => `${TEMPORARY_FOLDER}claim.${writer}`;

/** The name under which a writer announces that it creates an object. */
export function announcedName(writer: string, objectName: string): string {
  return `${TEMPORARY_FOLDER}${objectKey(objectName)}.${writer}`;
}

/** How an object is called in announcements. */
export function objectKey(objectName: string): string {
  return createHash("sha256").update(objectName).digest("hex").slice(0, NEUTRAL.length);
}

/** The parts of a name in the temporary folder; null for what is none of ours. */
export function partsOf(fileName: string): { readonly object: string; readonly writer: string } | null {
  const [, object = "", writer = ""] = NAME.exec(fileName) ?? [];
  return WRITER.test(writer) ? { object, writer } : null;
}

/** True for a name that newWriter() could have made. */
export function isWriter(text: string): boolean {
  return WRITER.test(text);
}

/** True when the writer of that file is gone: certainly, or nothing of ours is so long under way. */
export function isWriterDead(writer: string, modifiedAtMs: number, serverTimeMs: number | null): boolean {
  const isOld = modifiedAtMs >= MODIFIED_MIN && (serverTimeMs ?? 0) - modifiedAtMs > DEAD_AFTER_MS;
  return isOld || isProcessDead(writer);
}

/** True when the announcement of that file is void: its writer is dead, and so is what it asked the server for last. */
export function isAnnouncementVoid(writer: string, modifiedAtMs: number, serverTimeMs: number | null): boolean {
  const isSettled = modifiedAtMs >= MODIFIED_MIN && (serverTimeMs ?? 0) - modifiedAtMs > SETTLED_AFTER_MS;
  return isSettled && isWriterDead(writer, modifiedAtMs, serverTimeMs);
}

function isProcessDead(writer: string): boolean {
  const [, host = "", boot = "", processId = "", startTicks = ""] = WRITER.exec(writer) ?? [];
  return processState({ host, boot, processId: Number(processId), startTicks }) === "dead";
}
