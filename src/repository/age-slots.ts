// Key slots for age recipients, and identity files. A slot holds an age file, armored, that says the recovery key: the
// stock `age --decrypt` and the recovery kit's way are enough to open the repository. Native X25519 keys only.
// Whoever may write to the storage can make such a slot for a key of their own, since a recipient is public: that a
// data key came out of one proves nothing about who made it. Source: docs/formats/repository.md §3; the age v1 format.

import { OperatingError, isOperatingError, messageOf } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import { dataKeyWithId } from "./keys.ts";
import type { DataKey, SlotFacts } from "./keys.ts";
import { decodeKitKeys, encodeKitKey } from "./recovery-kit.ts";

/** The most that an identity file may have. */
export const IDENTITY_FILE_BYTES_MAX = 64 * KIB;
/** The most that the age file of a slot may have. */
export const AGE_FILE_LENGTH_MAX = 4 * KIB;
const IDENTITY_COUNT_MAX = 64;
const RECIPIENT_PATTERN = /^age1[02-9ac-hj-np-z]{58}$/;
const IDENTITY_PATTERN = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/;
const AGE_FILE_BEGINNINGS = ["age-encryption.org/v1\n", "-----BEGIN AGE ENCRYPTED FILE-----"];

/** A slot for an age recipient as it stands in cairn.json. */
export interface AgeSlot extends SlotFacts {
  readonly kind: "age";
  /** `age1…`. */
  readonly recipient: string;
  /** An armored age file. */
  readonly wrapped: string;
}

/** True for what looks like a native recipient; its checksum shows when it is used. */
export function isRecipient(text: string): boolean {
  return RECIPIENT_PATTERN.test(text);
}

/** Makes a slot that the recipient's identity opens. Throws OperatingError "usage" for what is no recipient. */
export async function makeAgeSlot(dataKey: DataKey, recipient: string): Promise<AgeSlot> {
  const { Encrypter, armor } = await import("age-encryption");
  const encrypter = new Encrypter();
  try {
    if (!isRecipient(recipient)) throw new Error("it is not age1 and 58 characters");
    encrypter.addRecipient(recipient);
  } catch (error) {
    throw new OperatingError("usage", `"${recipient}" is no age recipient: ${messageOf(error)}`, {
      hint: 'A recipient is the public key of an identity, as "age-keygen -y IDENTITY_FILE" prints it: age1…',
    });
  }
  const wrapped = armor.encode(await encrypter.encrypt(`${encodeKitKey(dataKey)}\n`));
  return { kind: "age", dataKeyId: dataKey.id, recipient, wrapped };
}

/** The data key of a slot, or null when none of the identities is its recipient's, or it was changed. */
export async function openAgeSlot(slot: AgeSlot, identities: readonly string[]): Promise<DataKey | null> {
  const { Decrypter, armor } = await import("age-encryption");
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  try {
    const text = await decrypter.decrypt(armor.decode(slot.wrapped), "text");
    const [dataKey] = decodeKitKeys(text);
    return dataKeyWithId(dataKey!.key, slot.dataKeyId);
  } catch {
    return null;
  }
}

/**
 * The identities in a file as age-keygen writes it. One that is itself encrypted with a passphrase is opened with what
 * `askPassphrase` returns. Throws OperatingError "usage", or "wrong_key" for a wrong passphrase.
 */
export async function readIdentities(
  file: Uint8Array,
  askPassphrase: () => Promise<string>,
): Promise<readonly string[]> {
  if (file.length > IDENTITY_FILE_BYTES_MAX) throw noIdentities("it is too long");
  const beginning = Buffer.from(file.subarray(0, 64)).toString("latin1");
  const isSealed = AGE_FILE_BEGINNINGS.some((magic) => beginning.startsWith(magic));
  const text = isSealed ? await openIdentityFile(file, await askPassphrase()) : Buffer.from(file).toString("utf8");
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const identities = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (identities.length === 0) throw noIdentities("no line of it is an identity");
  if (identities.length > IDENTITY_COUNT_MAX) throw noIdentities(`it has more than ${IDENTITY_COUNT_MAX} identities`);
  const other = identities.findIndex((identity) => !IDENTITY_PATTERN.test(identity));
  // Never the line itself: it may be a secret with a typing mistake.
  if (other >= 0) throw noIdentities(`its identity ${other + 1} is no AGE-SECRET-KEY-1…`);
  await checkIdentities(identities);
  return identities;
}

async function openIdentityFile(file: Uint8Array, passphrase: string): Promise<string> {
  const { Decrypter, armor } = await import("age-encryption");
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    const isArmored = file[0] === "-".charCodeAt(0);
    return await decrypter.decrypt(isArmored ? armor.decode(Buffer.from(file).toString("latin1")) : file, "text");
  } catch (error) {
    if (isOperatingError(error)) throw error;
    throw new OperatingError("wrong_key", `could not open the identity file: ${messageOf(error)}`, {
      hint: "It is encrypted; check its passphrase.",
    });
  }
}

async function checkIdentities(identities: readonly string[]): Promise<void> {
  const { Decrypter } = await import("age-encryption");
  for (const [index, identity] of identities.entries()) {
    try {
      new Decrypter().addIdentity(identity);
    } catch {
      throw noIdentities(`its identity ${index + 1} has a typing mistake`);
    }
  }
}

function noIdentities(reason: string): OperatingError {
  return new OperatingError("usage", `could not read the identity file: ${reason}`, {
    hint: 'It is a file as "age-keygen" makes it, with lines AGE-SECRET-KEY-1….',
  });
}
