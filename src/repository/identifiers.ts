// Ids of runs, restore points and marks, and the names of the objects they make.
// An id is `YYYYMMDDTHHMMSSZ-` and 40 random bits, so that ids sort by time. Source: docs/formats/repository.md §2.

import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { Random } from "./environment.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ID_PATTERN = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-hjkmnp-tv-z]{8}$/;
const PACK_NAME_PATTERN = /^\d{8}T\d{6}Z-[0-9a-hjkmnp-tv-z]{8}-\d{1,9}$/;
const MOVED_ENDING = ".moved";
const LINEAGE_KEY_PATTERN = /^[0-9a-f]{32}$/;

export const CONFIGURATION_NAME = "cairn.json";
export const BACKUPS_PREFIX = "backups/";
export const PACKS_PREFIX = "packs/";
export const RUNS_PREFIX = "runs/";
export const MARKS_PREFIX = "marks/";
export const PRUNE_PREFIX = "prune/";
export const KEYS_PREFIX = "keys/";

/** True for an id of a run, restore point or mark. */
export function isId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/** True for a pack's name (without its folder). */
export function isPackName(text: string): boolean {
  return PACK_NAME_PATTERN.test(text);
}

/** True for a lineage's folder name. */
export function isLineageKey(text: string): boolean {
  return LINEAGE_KEY_PATTERN.test(text);
}

/** The time in an id, to the second. */
export function timeOfId(id: string): Date {
  const match = ID_PATTERN.exec(id);
  assert(match !== null, `"${id}" is an id`);
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, ...number[]];
  return new Date(Date.UTC(year, month! - 1, day, hour, minute, second));
}

/** A new id for that time, or for the second after `newest` when the time is not after it. */
export function makeId(time: Date, random: Random, newest: string | null = null): string {
  const floorMs = newest === null ? -Infinity : timeOfId(newest).getTime() + 1000;
  const moment = new Date(Math.max(Math.floor(time.getTime() / 1000) * 1000, floorMs));
  const stamp = moment.toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  let value = random(5).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let tail = "";
  for (let index = 0; index < 8; index += 1) {
    tail = ALPHABET[Number(value & 31n)]! + tail;
    value >>= 5n;
  }
  const id = `${stamp}Z-${tail}`;
  assert(isId(id), "an id has the form of ids");
  return id;
}

/** The object name of a pack. */
export function packObjectName(packName: string): string {
  const folder = createHash("sha256").update(packName).digest("hex").slice(0, 2);
  return `${PACKS_PREFIX}${folder}/${packName}`;
}

/** The object that says where the items of a pack went when it was repacked. */
export function movedObjectName(packName: string): string {
  return `${packObjectName(packName)}${MOVED_ENDING}`;
}

/** The pack that an object under packs/ is, or of which it says where its items went; null for anything else. */
export function packOfObject(objectName: string): { readonly pack: string; readonly isMoved: boolean } | null {
  const fileName = objectName.slice(objectName.lastIndexOf("/") + 1);
  const isMoved = fileName.endsWith(MOVED_ENDING);
  const pack = isMoved ? fileName.slice(0, -MOVED_ENDING.length) : fileName;
  if (!isPackName(pack)) return null;
  const expected = isMoved ? movedObjectName(pack) : packObjectName(pack);
  return objectName === expected ? { pack, isMoved } : null;
}

/** The run that wrote a pack. */
export function runOfPack(packName: string): string {
  return packName.slice(0, packName.lastIndexOf("-"));
}

/** The object name of a later version of cairn.json. */
export function keysObjectName(generation: number): string {
  return `${KEYS_PREFIX}${String(generation).padStart(8, "0")}`;
}

/** The generation in the name of an object under keys/; null for anything else. */
export function generationOfObject(objectName: string): number | null {
  const match = /^keys\/(\d{8})$/.exec(objectName);
  return match === null ? null : Number(match[1]);
}

/** The object name of a manifest. */
export function manifestObjectName(lineageKey: string, id: string): string {
  return `${BACKUPS_PREFIX}${lineageKey}/${id}`;
}
