// Makes repositories: cairn.json, keys, the README and the rescue program.
// Source: docs/formats/repository.md §2 and §3.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { refuseUnconditionalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import { makeAgeSlot } from "./age-slots.ts";
import {
  encodeConfiguration,
  KNOWN_FEATURES,
  PACK_SIZE_BYTES_DEFAULT,
  PACK_SIZE_BYTES_MAX,
  PACK_SIZE_BYTES_MIN,
} from "./configuration.ts";
import type { KeySlot } from "./configuration.ts";
import { systemClock, systemRandom } from "./environment.ts";
import type { Clock, Random } from "./environment.ts";
import { BACKUPS_PREFIX, CONFIGURATION_NAME, KEYS_PREFIX, PACKS_PREFIX } from "./identifiers.ts";
import { KeyMemory } from "./key-memory.ts";
import { dataKeyOf, makePassphraseSlot, SCRYPT_COST_DEFAULT, wrapSecret } from "./keys.ts";
import type { DataKey, ScryptCost } from "./keys.ts";
import { readmeText } from "./readme.ts";
import { recoveryKitText } from "./recovery-kit.ts";
import type { KitKeeper } from "./recovery-kit.ts";
import { keyringOf } from "./unlock.ts";
import type { Unlocked } from "./unlock.ts";

export { unlockRepository } from "./unlock.ts";
export type { OpenOptions, Unlocked } from "./unlock.ts";

const README_NAME = "README.txt";
export const RESCUE_NAME = "cairn-rescue.mjs";
const RESCUE_URL = new URL("../rescue/cairn-rescue.mjs", import.meta.url);
const PASSPHRASE_LENGTH_MIN = 8;

/** What a new repository shall open with. */
export type NewEncryption =
  | { readonly kind: "passphrase"; readonly passphrase: string; readonly recipients?: readonly string[] }
  /** Recipients of age, at least one, and no passphrase. */
  | { readonly kind: "recipients"; readonly recipients: readonly string[] }
  | { readonly kind: "none" };

export interface CreateOptions {
  readonly encryption: NewEncryption;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly packSizeBytes?: number;
  /** Lower only in tests: it is all that slows guessing of the passphrase. */
  readonly scryptCost?: ScryptCost;
  /** See OpenOptions. */
  readonly memoryFolder?: string | null;
  /** A repository whose id and keys the new one shall have, so that packs move between them as they are. */
  readonly like?: Unlocked;
  /** Keeps the recovery kit before the repository is there; left out: it is in the result alone. */
  readonly kit?: KitKeeper;
}

/** Writes a new repository. Throws OperatingError "repository_exists". */
export async function writeRepository(
  storage: Storage,
  options: CreateOptions,
): Promise<Unlocked & { readonly recoveryKit: string | null }> {
  await refuseUsedStorage(storage);
  await refuseUnconditionalStorage(storage);
  const clock = options.clock ?? systemClock;
  const made = await makeConfiguration(options, clock.now().toISOString());
  const { bytes: rescue, sha256: rescueSha256 } = await rescueProgram();
  const { configuration, keyring } = made;
  await storage.put(RESCUE_NAME, rescue);
  await storage.put(README_NAME, Buffer.from(readmeText(configuration)));
  const { createdAt, repositoryId } = configuration;
  const dataKey = keyring.current;
  const earlierKeys = [...keyring.dataKeys.values()].filter((key) => key !== dataKey);
  const recoveryKit = dataKey && recoveryKitText({ repositoryId, dataKey, earlierKeys, createdAt, rescueSha256 });
  if (recoveryKit !== null) await options.kit?.keep(recoveryKit);
  await putConfiguration(storage, encodeConfiguration(configuration, dataKey), options.kit);
  const { memoryFolder } = options;
  if (typeof memoryFolder === "string") await new KeyMemory(memoryFolder, storage.description).remember(keyring);
  return { ...made, recoveryKit };
}

/** From here on the repository is there. After any failure but one it may be, and the kit stays. */
async function putConfiguration(storage: Storage, bytes: Uint8Array, kit: KitKeeper | undefined): Promise<void> {
  try {
    await storage.put(CONFIGURATION_NAME, bytes, { ifAbsent: true });
  } catch (error) {
    if (isOperatingError(error, "repository_exists")) await kit?.discard();
    throw error;
  }
}

/** The rescue program of this version. */
export async function rescueProgram(): Promise<{ readonly bytes: Uint8Array; readonly sha256: string }> {
  const bytes = await readFile(RESCUE_URL);
  return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
}

async function refuseUsedStorage(storage: Storage): Promise<void> {
  if ((await storage.head(CONFIGURATION_NAME)) !== null) {
    throw new OperatingError("repository_exists", `there is a repository in ${storage.description} already`);
  }
  for (const prefix of [BACKUPS_PREFIX, PACKS_PREFIX, KEYS_PREFIX]) {
    for await (const { name } of storage.list(prefix)) {
      throw new OperatingError("repository_exists", `${storage.description} holds "${name}" of a repository`, {
        hint: `Its "${CONFIGURATION_NAME}" is missing: put it back, or read it with the recovery kit and the rescue program.`,
      });
    }
  }
}

function refuseOtherEncryption({ configuration }: Unlocked, { encryption }: CreateOptions): void {
  if ((configuration.encryption === "none") === (encryption.kind === "none")) return;
  const which = encryption.kind === "none" ? "an unencrypted repository like an encrypted one" : "an encrypted repository like an unencrypted one"; // prettier-ignore
  throw new OperatingError("usage", `${which} cannot be made`, {
    hint: 'Make it by itself; "cairn copy" then seals anew what it copies.',
  });
}

async function makeConfiguration(options: CreateOptions, createdAt: string): Promise<Unlocked> {
  const { like, random = systemRandom } = options;
  const packSizeBytes = options.packSizeBytes ?? like?.configuration.packSizeBytes ?? PACK_SIZE_BYTES_DEFAULT;
  if (packSizeBytes < PACK_SIZE_BYTES_MIN || packSizeBytes > PACK_SIZE_BYTES_MAX) {
    throw new OperatingError("usage", `a pack size of ${packSizeBytes} bytes is not allowed`);
  }
  if (like !== undefined) refuseOtherEncryption(like, options);
  const repositoryId = like?.keyring.repositoryId ?? random(16);
  const common = { repositoryId, createdAt, packSizeBytes, features: KNOWN_FEATURES };
  if (options.encryption.kind === "none") {
    const keyring = { repositoryId, current: null, dataKeys: new Map(), chunkIdSecret: null, lineageSecret: null };
    return { keyring, configuration: { ...common, encryption: "none", dataKeys: [], keySlots: [] } };
  }
  const current = like?.keyring.current ?? dataKeyOf(random(32));
  const keySlots = await makeSlots(current, repositoryId, options.encryption, {
    createdAt,
    cost: options.scryptCost ?? SCRYPT_COST_DEFAULT,
    random,
  });
  if (like !== undefined) {
    const { dataKeys } = like.configuration;
    return { keyring: like.keyring, configuration: { ...common, encryption: "aes-256-gcm", dataKeys, keySlots } };
  }
  const secret = random(32);
  const entry = { id: current.id, isCurrent: true, secret: wrapSecret(current, repositoryId, secret, random) };
  return {
    keyring: keyringOf(repositoryId, current, [], secret),
    configuration: { ...common, encryption: "aes-256-gcm", dataKeys: [entry], keySlots },
  };
}

async function makeSlots(
  current: DataKey,
  repositoryId: Uint8Array,
  encryption: Exclude<NewEncryption, { kind: "none" }>,
  options: { readonly createdAt: string; readonly cost: ScryptCost; readonly random: Random },
): Promise<readonly KeySlot[]> {
  const { createdAt, ...making } = options;
  const slots: KeySlot[] = [];
  if (encryption.kind === "passphrase") {
    checkPassphrase(encryption.passphrase);
    const slot = await makePassphraseSlot(current, repositoryId, encryption.passphrase, making);
    slots.push({ ...slot, createdAt });
  }
  for (const recipient of new Set(encryption.recipients)) {
    slots.push({ ...(await makeAgeSlot(current, recipient)), createdAt });
  }
  if (slots.length === 0) throw new OperatingError("usage", "a repository needs a passphrase or a recipient");
  return slots;
}

/** Throws OperatingError "usage" for a passphrase that is too short. */
export function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= PASSPHRASE_LENGTH_MIN) return;
  throw new OperatingError("usage", `the passphrase is shorter than ${PASSPHRASE_LENGTH_MIN} characters`);
}
