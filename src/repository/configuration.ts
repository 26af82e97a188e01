// cairn.json: a repository's settings and key slots, and its later versions under keys/. Source:
// docs/formats/repository.md §3.
// What is authenticated is every byte before the file's fixed ending, so that no rule about JSON is needed.

import { timingSafeEqual } from "node:crypto";
import { OperatingError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { AGE_FILE_LENGTH_MAX, isRecipient } from "./age-slots.ts";
import type { AgeSlot } from "./age-slots.ts";
import { CONFIGURATION_NAME } from "./identifiers.ts";
import { checkScryptCost, configurationMac } from "./keys.ts";
import type { DataKey, PassphraseSlot, SlotFacts } from "./keys.ts";

export const CONFIGURATION_BYTES_MAX = MIB;
const FORMAT = "cairn-repository";
const FORMAT_VERSION = 1;
/** Key slots that a repository may have. */
export const SLOT_COUNT_MAX = 16;
/** Data keys that a repository may have, earlier ones counted. */
export const DATA_KEY_COUNT_MAX = 64;
/** Of a slot's label, in UTF-16 units. */
export const LABEL_LENGTH_MAX = 100;
export const GENERATION_MAX = 99_999_999;
/** What a reader has to know of a repository that may hold delta chunks. */
export const DELTA_FEATURE = "delta";
/** Features that this version knows. New repositories require all of them. */
export const KNOWN_FEATURES: readonly string[] = [DELTA_FEATURE];
const ENDING_PATTERN = /^,\n {2}"authentication": "([0-9a-f]{64})"\n\}\n$/;
const ENDING_BYTES = ',\n  "authentication": ""\n}\n'.length + 64;

export const PACK_SIZE_BYTES_DEFAULT = 64 * MIB;
export const PACK_SIZE_BYTES_MIN = 4 * KIB;
export const PACK_SIZE_BYTES_MAX = 1024 * MIB;

/** A data key's entry: its id and the repository secret wrapped under it. */
export interface DataKeyEntry {
  readonly id: Uint8Array;
  readonly isCurrent: boolean;
  readonly secret: Uint8Array;
  /** The key itself wrapped under the current one; only of earlier keys. */
  readonly wrapped?: Uint8Array;
}

/** A key slot of a kind that this version knows. */
export type KeySlot = PassphraseSlot | AgeSlot;

/** cairn.json as data. */
export interface Configuration {
  readonly repositoryId: Uint8Array;
  readonly createdAt: string;
  readonly encryption: "aes-256-gcm" | "none";
  readonly dataKeys: readonly DataKeyEntry[];
  readonly keySlots: readonly KeySlot[];
  readonly packSizeBytes: number;
  /** Features that its readers have to know; left out: none. */
  readonly features?: readonly string[];
  /** How often the keys were changed; left out: never. */
  readonly generation?: number;
  /** Slots of kinds that this version does not know, as they stand in the file. */
  readonly otherSlots?: readonly unknown[];
}

/** cairn.json and what authenticates it. */
export interface ConfigurationFile {
  readonly configuration: Configuration;
  readonly authenticated: Uint8Array;
  readonly authentication: Uint8Array;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The bytes of cairn.json, authenticated under the current data key. */
export function encodeConfiguration(configuration: Configuration, dataKey: DataKey | null): Uint8Array {
  const { repositoryId, createdAt, encryption, dataKeys, keySlots, packSizeBytes } = configuration;
  const { features = [], generation = 0, otherSlots = [] } = configuration;
  const text = JSON.stringify(
    {
      format: FORMAT,
      formatVersion: FORMAT_VERSION,
      repositoryId: hex(repositoryId),
      createdAt,
      ...(generation === 0 ? {} : { generation }),
      encryption,
      requiredFeatures: features,
      dataKeys: dataKeys.map(({ id, isCurrent, secret, wrapped }) => {
        return { id: hex(id), isCurrent, secret: hex(secret), ...(wrapped && { wrapped: hex(wrapped) }) };
      }),
      keySlots: [...keySlots.map(slotJson), ...otherSlots],
      settings: { packSizeBytes },
    },
    null,
    2,
  );
  const authenticated = Buffer.from(text.slice(0, text.lastIndexOf("\n}")));
  const ending = `,\n  "authentication": "${hex(configurationMac(dataKey, authenticated))}"\n}\n`;
  return Buffer.concat([authenticated, Buffer.from(ending)]);
}

function slotJson(slot: KeySlot): object {
  const { kind, label, createdAt } = slot;
  const facts = { ...(label && { label }), ...(createdAt && { createdAt }) };
  const dataKeyId = hex(slot.dataKeyId);
  if (slot.kind === "age") return { kind, ...facts, dataKeyId, recipient: slot.recipient, wrapped: slot.wrapped };
  const { n, r, p, salt, wrapped } = slot;
  return { kind, ...facts, dataKeyId, n, r, p, salt: hex(salt), wrapped: hex(wrapped) };
}

/**
 * Reads cairn.json, or the later version of it under that name; nothing in it is authentic before checkConfiguration().
 * Throws OperatingError "corrupt".
 */
export function decodeConfiguration(bytes: Uint8Array, name: string = CONFIGURATION_NAME): ConfigurationFile {
  try {
    return decode(bytes);
  } catch (error) {
    if (name === CONFIGURATION_NAME || !(error instanceof OperatingError)) throw error;
    const { detail, hint } = error;
    const message = error.message.replace(`"${CONFIGURATION_NAME}"`, `"${name}"`);
    throw new OperatingError(error.code, message, { detail, hint, cause: error });
  }
}

function decode(bytes: Uint8Array): ConfigurationFile {
  if (bytes.length > CONFIGURATION_BYTES_MAX) throw invalid("it is too long");
  const ending = ENDING_PATTERN.exec(Buffer.from(bytes.subarray(-ENDING_BYTES)).toString("latin1"));
  if (ending === null) throw invalid("its end is missing");
  const fields = fieldsOf(parseJson(Buffer.from(bytes).toString("utf8")));
  if (fields.text("format") !== FORMAT) throw invalid("it is no repository of ours");
  const version = fields.integer("formatVersion");
  if (version !== FORMAT_VERSION) throw tooNew(`format version ${version}`);
  const unknown = fields.list("requiredFeatures").find((feature) => !isKnownFeature(feature));
  if (unknown !== undefined) throw tooNew(`the feature ${JSON.stringify(unknown)}`);
  return {
    configuration: readConfiguration(fields),
    authenticated: bytes.subarray(0, bytes.length - ENDING_BYTES),
    authentication: Buffer.from(ending[1]!, "hex"),
  };
}

function isKnownFeature(feature: unknown): feature is string {
  return typeof feature === "string" && KNOWN_FEATURES.includes(feature);
}

/** Throws OperatingError "corrupt" unless cairn.json is authentic under that data key (null: the checksum is right). */
export function checkConfiguration(file: ConfigurationFile, dataKey: DataKey | null): void {
  if (timingSafeEqual(configurationMac(dataKey, file.authenticated), file.authentication)) return;
  throw new OperatingError("corrupt", `"${CONFIGURATION_NAME}" was changed after it was written`, {
    detail: "Its authentication does not match its contents.",
    hint: "Put back the original file, or read the repository with the recovery kit and the rescue program.",
  });
}

function readConfiguration(fields: Fields): Configuration {
  const encryption = fields.text("encryption");
  if (encryption !== "aes-256-gcm" && encryption !== "none")
    throw tooNew(`the encryption ${JSON.stringify(encryption)}`);
  const dataKeys = fields.list("dataKeys").map((entry) => readDataKey(fieldsOf(entry)));
  const [keySlots, otherSlots] = readSlots(fields.list("keySlots"));
  const currentCount = dataKeys.filter((entry) => entry.isCurrent).length;
  const slotCount = keySlots.length + otherSlots.length;
  const isConsistent = encryption === "none" ? dataKeys.length + slotCount === 0 : currentCount === 1;
  if (!isConsistent) throw invalid("its keys do not fit its encryption");
  const currentId = dataKeys.find((entry) => entry.isCurrent)?.id ?? Buffer.alloc(0);
  if (keySlots.some(({ dataKeyId }) => Buffer.compare(dataKeyId, currentId) !== 0))
    throw invalid("a key slot is not of its current data key");
  if (dataKeys.length > DATA_KEY_COUNT_MAX || slotCount > SLOT_COUNT_MAX) throw invalid("it has too many keys");
  const packSizeBytes = fieldsOf(fields.value("settings")).integer("packSizeBytes");
  if (packSizeBytes < PACK_SIZE_BYTES_MIN || packSizeBytes > PACK_SIZE_BYTES_MAX)
    throw invalid("its pack size is no size");
  const [repositoryId, createdAt] = [fields.bytes("repositoryId", 16), fields.text("createdAt")];
  const generation = fields.value("generation") === null ? 0 : fields.integer("generation");
  if (generation < 0 || generation > GENERATION_MAX) throw invalid("its generation is no number of changes");
  const common = { repositoryId, createdAt, encryption, dataKeys, keySlots, packSizeBytes } as const;
  const features = fields.list("requiredFeatures").filter(isKnownFeature);
  return {
    ...common,
    ...(features.length > 0 && { features }),
    ...(generation > 0 && { generation }),
    ...(otherSlots.length > 0 && { otherSlots }),
  };
}

function readDataKey(fields: Fields): DataKeyEntry {
  const isCurrent = fields.value("isCurrent") === true;
  const entry = { id: fields.bytes("id", 16), isCurrent, secret: fields.bytes("secret", 60) };
  return isCurrent ? entry : { ...entry, wrapped: fields.bytes("wrapped", 60) };
}

function readSlots(list: readonly unknown[]): readonly [KeySlot[], unknown[]] {
  const known: KeySlot[] = [];
  const other: unknown[] = [];
  for (const json of list) {
    const slot = fieldsOf(json);
    const kind = slot.text("kind");
    if (kind === "scrypt") known.push(readPassphraseSlot(slot));
    else if (kind === "age") known.push(readAgeSlot(slot));
    else other.push(json);
  }
  return [known, other];
}

function readSlotFacts(fields: Fields): SlotFacts {
  const facts = { dataKeyId: fields.bytes("dataKeyId", 16) };
  const label = fields.value("label") === null ? "" : fields.text("label");
  const createdAt = fields.value("createdAt") === null ? "" : fields.text("createdAt");
  if (label.length > LABEL_LENGTH_MAX || createdAt.length > LABEL_LENGTH_MAX) throw invalid("a label is too long");
  return { ...facts, ...(label && { label }), ...(createdAt && { createdAt }) };
}

function readAgeSlot(fields: Fields): AgeSlot {
  const [recipient, wrapped] = [fields.text("recipient"), fields.text("wrapped")];
  if (!isRecipient(recipient)) throw invalid("a recipient is none");
  if (wrapped.length > AGE_FILE_LENGTH_MAX) throw invalid("the slot of a recipient is too long");
  return { kind: "age", ...readSlotFacts(fields), recipient, wrapped };
}

function readPassphraseSlot(fields: Fields): PassphraseSlot {
  const slot: PassphraseSlot = {
    kind: "scrypt",
    ...readSlotFacts(fields),
    n: fields.integer("n"),
    r: fields.integer("r"),
    p: fields.integer("p"),
    salt: fields.bytes("salt", 32),
    wrapped: fields.bytes("wrapped", 60),
  };
  checkScryptCost(slot);
  return slot;
}

/** Reads the fields of a JSON object, each checked for its type. */
interface Fields {
  value(name: string): unknown;
  text(name: string): string;
  integer(name: string): number;
  list(name: string): readonly unknown[];
  /** Hex digits of exactly that many bytes. */
  bytes(name: string, lengthBytes: number): Uint8Array;
}

function fieldsOf(json: unknown): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid("a part of it is no object");
  const value = (name: string): unknown => (Object.hasOwn(json, name) ? (json as Record<string, unknown>)[name] : null);
  const typed = <T>(name: string, isRight: (found: unknown) => boolean): T => {
    const found = value(name);
    if (!isRight(found)) throw invalid(`"${name}" is not what it should be`);
    return found as T;
  };
  return {
    value,
    text: (name) => typed(name, (found) => typeof found === "string"),
    integer: (name) => typed(name, Number.isSafeInteger),
    list: (name) => typed(name, Array.isArray),
    bytes: (name, lengthBytes) => {
      const pattern = new RegExp(`^[0-9a-f]{${lengthBytes * 2}}$`);
      return Buffer.from(
        typed<string>(name, (found) => typeof found === "string" && pattern.test(found)),
        "hex",
      );
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("it is no JSON");
  }
}

function invalid(reason: string): OperatingError {
  return new OperatingError("corrupt", `could not read "${CONFIGURATION_NAME}": ${reason}`);
}

function tooNew(what: string): OperatingError {
  return new OperatingError("corrupt", `could not read "${CONFIGURATION_NAME}": this program does not know ${what}`, {
    hint: "The repository was made by a newer version of cairn, or the file was changed. Use that version.",
  });
}
