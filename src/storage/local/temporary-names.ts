// Names of files that are still being written. They begin with a dot, so they are no object names, and carry the
// identity of their writer, so that what a killed process left can be told from what a living one is writing.

import { processState, thisProcess } from "../process-identity.ts";

const PREFIX = ".cairn-tmp-";
const PATTERN = /^\.cairn-tmp-([0-9a-f]{12})-([0-9a-f]{1,8})-([0-9]{1,10})-([0-9]{1,20})-([0-9]{1,10})$/;
/** So long no writer that lives leaves its file alone. */
const IDLE_MS_MAX = 24 * 3_600_000;

let counter = 0;

/** A file name that no other writer uses. */
export function temporaryName(): string {
  const { host, boot, processId, startTicks } = thisProcess();
  counter += 1;
  return `${PREFIX}${host}-${boot}-${processId}-${startTicks}-${counter}`;
}

/** True for a name made by temporaryName(), by whatever process. */
export function isTemporaryName(fileName: string): boolean {
  return fileName.startsWith(PREFIX);
}

/** True when the writer of that file is gone: certainly, or it is of another boot and wrote nothing for so long. */
export function isWriterDead(fileName: string, idleMs: number): boolean {
  const match = PATTERN.exec(fileName);
  if (match === null) return false;
  const [, host = "", boot = "", processId = "", startTicks = ""] = match;
  const state = processState({ host, boot, processId: Number(processId), startTicks });
  const self = thisProcess();
  const isOfOtherBoot = host === self.host && boot !== self.boot;
  return state === "dead" || (isOfOtherBoot && idleMs >= IDLE_MS_MAX);
}
