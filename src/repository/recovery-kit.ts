// The recovery kit: a page of text with which an encrypted repository can be read when the passphrase is forgotten or
// cairn.json is lost. Source: docs/formats/repository.md §3, "Recovery kit".
// The key stands in 8 groups, each with its own check, so that a typing mistake is named by its group.

import { createHash } from "node:crypto";
import { OperatingError } from "../base/errors.ts";
import { dataKeyOf } from "./keys.ts";
import type { DataKey } from "./keys.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP_COUNT = 8;
const GROUP_CHARACTERS = 8;
const GROUP_KEY_BYTES = 4;
const KEY_COUNT_MAX = 64;

function checkByte(group: number, bytes: Uint8Array): number {
  return createHash("sha256").update("cairn kit v1").update(Uint8Array.of(group)).update(bytes).digest()[0]!;
}

/** The data key as 8 groups of 8 characters. */
export function encodeKitKey(dataKey: DataKey): string {
  const groups: string[] = [];
  for (let group = 0; group < GROUP_COUNT; group += 1) {
    const bytes = dataKey.key.subarray(group * GROUP_KEY_BYTES, (group + 1) * GROUP_KEY_BYTES);
    let value = [...bytes, checkByte(group, bytes)].reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
    let text = "";
    for (let index = 0; index < GROUP_CHARACTERS; index += 1) {
      text = ALPHABET[Number(value & 31n)]! + text;
      value >>= 5n;
    }
    groups.push(text);
  }
  return groups.join("-");
}

/**
 * The data keys that were typed, one after another: a kit made after a change of the data key has the earlier ones too.
 * Throws OperatingError "wrong_key" that names the group with the mistake.
 */
export function decodeKitKeys(typed: string): readonly DataKey[] {
  const text = typed.toUpperCase().replaceAll(/[\s-]/g, "").replaceAll(/[IL]/g, "1").replaceAll("O", "0");
  const characters = GROUP_COUNT * GROUP_CHARACTERS;
  const count = text.length / characters;
  if (!Number.isInteger(count) || count < 1 || count > KEY_COUNT_MAX) {
    throw new OperatingError("wrong_key", `the recovery key has ${text.length} characters, not ${characters}`);
  }
  return Array.from({ length: count }, (_, index) => {
    return decodeKey(text.slice(index * characters, (index + 1) * characters), index * GROUP_COUNT);
  });
}

function decodeKey(text: string, groupsBefore: number): DataKey {
  const key = Buffer.alloc(GROUP_COUNT * GROUP_KEY_BYTES);
  for (let group = 0; group < GROUP_COUNT; group += 1) {
    const characters = text.slice(group * GROUP_CHARACTERS, (group + 1) * GROUP_CHARACTERS);
    const value = characters.split("").reduce((sum, character) => sum * 32n + BigInt(ALPHABET.indexOf(character)), 0n);
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(value);
    const isTyped = characters.split("").every((character) => ALPHABET.includes(character));
    if (!isTyped || checkByte(group, bytes.subarray(3, 7)) !== bytes[7]) {
      throw new OperatingError("wrong_key", `group ${groupsBefore + group + 1} of the recovery key is mistyped`);
    }
    bytes.copy(key, group * GROUP_KEY_BYTES, 3, 7);
  }
  return dataKeyOf(key);
}

/** Where a new recovery kit goes. */
export interface KitKeeper {
  /** Called before its key comes into use. Throws when the kit cannot be kept: then nothing is changed. */
  keep(recoveryKit: string): Promise<void>;
  /** Its key did not come into use. Not called where nobody can say that. */
  discard(): Promise<void>;
}

/** What stands in a recovery kit. */
export interface RecoveryKitFacts {
  readonly repositoryId: Uint8Array;
  readonly dataKey: DataKey;
  /** Earlier data keys, newest first; left out: none. */
  readonly earlierKeys?: readonly DataKey[];
  readonly createdAt: string;
  readonly rescueSha256: string;
}

/** The text of a recovery kit: secret, to be printed and kept away from the storage. */
export function recoveryKitText(facts: RecoveryKitFacts): string {
  const earlier = facts.earlierKeys ?? [];
  return [
    "CAIRN RECOVERY KIT",
    "",
    "Keep this page secret and away from the backups. Whoever has it and the storage can read every backup.",
    "Without this page and without the passphrase, nobody can.",
    "",
    `Repository   ${Buffer.from(facts.repositoryId).toString("hex")}`,
    `Created      ${facts.createdAt}`,
    "",
    ...keyLines("Recovery key ", facts.dataKey),
    "",
    ...(earlier.length === 0 ? [] : EARLIER_KEYS_TEXT),
    ...earlier.flatMap((key) => [...keyLines("Earlier key  ", key), ""]),
    `SHA-256 of cairn-rescue.mjs`,
    `             ${facts.rescueSha256}`,
    "",
    "To read the backups with nothing but Node.js 24.6 or newer, in a copy of the repository's folder:",
    "  sha256sum cairn-rescue.mjs                 compare with the line above before running it",
    "  node cairn-rescue.mjs list                 asks for the passphrase or this recovery key",
    "  node cairn-rescue.mjs export ID FILE       writes an archive for pg_restore",
    "",
  ].join("\n");
}

const EARLIER_KEYS_TEXT = [
  "Earlier backups are sealed with the keys below. The recovery key opens them too, with the help of cairn.json. If that is",
  "lost, give all keys of this page in CAIRN_RECOVERY_KEY, one after another.",
  "",
];

function keyLines(title: string, dataKey: DataKey): string[] {
  const groups = encodeKitKey(dataKey).split("-");
  return [`${title}${groups.slice(0, 4).join("-")}-`, `${" ".repeat(title.length)}${groups.slice(4).join("-")}`];
}
