// Makes and unlocks repositories: cairn.json, keys, the README and the rescue program.
// Source: docs/formats/repository.md §2 and §3.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { refuseUnconditionalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import {
  checkConfiguration,
  decodeConfiguration,
  encodeConfiguration,
  PACK_SIZE_BYTES_DEFAULT,
  PACK_SIZE_BYTES_MAX,
  PACK_SIZE_BYTES_MIN,
} from "./configuration.ts";
import type { Configuration, ConfigurationFile, DataKeyEntry } from "./configuration.ts";
import { systemClock, systemRandom } from "./environment.ts";
import type { Clock, Random } from "./environment.ts";
import { BACKUPS_PREFIX, CONFIGURATION_NAME, PACKS_PREFIX } from "./identifiers.ts";
import {
  dataKeyOf,
  derivedSecrets,
  makePassphraseSlot,
  openPassphraseSlot,
  SCRYPT_COST_DEFAULT,
  unwrapSecret,
  wrapSecret,
} from "./keys.ts";
import type { DataKey, Keyring, ScryptCost } from "./keys.ts";
import { readmeText } from "./readme.ts";
import { decodeKitKey, recoveryKitText } from "./recovery-kit.ts";

const README_NAME = "README.txt";
const RESCUE_NAME = "cairn-rescue.mjs";
const RESCUE_URL = new URL("../rescue/cairn-rescue.mjs", import.meta.url);
const PASSPHRASE_LENGTH_MIN = 8;

export interface CreateOptions {
  readonly encryption: { readonly kind: "passphrase"; readonly passphrase: string } | { readonly kind: "none" };
  readonly clock?: Clock;
  readonly random?: Random;
  readonly packSizeBytes?: number;
  /** Lower only in tests: it is all that slows guessing of the passphrase. */
  readonly scryptCost?: ScryptCost;
  /** A repository whose id and keys the new one shall have, so that packs move between them as they are. */
  readonly like?: Unlocked;
}

export interface OpenOptions {
  /** A text was given and is used; a function is asked when it is needed. */
  readonly passphrase?: string | (() => Promise<string>);
  /** The key from a recovery kit, instead of a passphrase. */
  readonly recoveryKey?: string;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** An unlocked repository's settings. */
export interface Unlocked {
  readonly keyring: Keyring;
  readonly configuration: Configuration;
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
  const rescue = await readFile(RESCUE_URL);
  const rescueSha256 = createHash("sha256").update(rescue).digest("hex");
  const { configuration, keyring } = made;
  await storage.put(RESCUE_NAME, rescue);
  await storage.put(README_NAME, Buffer.from(readmeText(configuration)));
  const bytes = encodeConfiguration(configuration, keyring.current);
  await storage.put(CONFIGURATION_NAME, bytes, { ifAbsent: true });
  const { createdAt, repositoryId } = configuration;
  const dataKey = keyring.current;
  const recoveryKit = dataKey && recoveryKitText({ repositoryId, dataKey, createdAt, rescueSha256 });
  return { ...made, recoveryKit };
}

async function refuseUsedStorage(storage: Storage): Promise<void> {
  if ((await storage.head(CONFIGURATION_NAME)) !== null) {
    throw new OperatingError("repository_exists", `there is a repository in ${storage.description} already`);
  }
  for (const prefix of [BACKUPS_PREFIX, PACKS_PREFIX]) {
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
  const common = { repositoryId, createdAt, packSizeBytes };
  if (options.encryption.kind === "none") {
    const keyring = { repositoryId, current: null, dataKeys: new Map(), chunkIdSecret: null, lineageSecret: null };
    return { keyring, configuration: { ...common, encryption: "none", dataKeys: [], keySlots: [] } };
  }
  const { passphrase } = options.encryption;
  if (passphrase.length < PASSPHRASE_LENGTH_MIN) {
    throw new OperatingError("usage", `the passphrase is shorter than ${PASSPHRASE_LENGTH_MIN} characters`);
  }
  const current = like?.keyring.current ?? dataKeyOf(random(32));
  const cost = options.scryptCost ?? SCRYPT_COST_DEFAULT;
  const slot = await makePassphraseSlot(current, repositoryId, passphrase, { cost, random });
  if (like !== undefined) {
    const { dataKeys } = like.configuration;
    return {
      keyring: like.keyring,
      configuration: { ...common, encryption: "aes-256-gcm", dataKeys, keySlots: [slot] },
    };
  }
  const secret = random(32);
  const entry = { id: current.id, isCurrent: true, secret: wrapSecret(current, repositoryId, secret, random) };
  return {
    keyring: keyringOf(repositoryId, current, [current], secret),
    configuration: { ...common, encryption: "aes-256-gcm", dataKeys: [entry], keySlots: [slot] },
  };
}

function keyringOf(repositoryId: Uint8Array, current: DataKey, keys: readonly DataKey[], secret: Uint8Array): Keyring {
  const dataKeys = new Map(keys.map((key) => [Buffer.from(key.id).toString("hex"), key]));
  return { repositoryId, current, dataKeys, ...derivedSecrets(secret) };
}

/** Reads and unlocks a repository. Throws OperatingError "no_repository", "wrong_key", "corrupt". */
export async function unlockRepository(storage: Storage, options: OpenOptions): Promise<Unlocked> {
  const file = await readConfigurationFile(storage);
  const { configuration } = file;
  if (configuration.encryption === "none") {
    if (typeof options.passphrase === "string" || options.recoveryKey !== undefined) throw notEncrypted(storage);
    checkConfiguration(file, null);
    const { repositoryId } = configuration;
    const keyring = { repositoryId, current: null, dataKeys: new Map(), chunkIdSecret: null, lineageSecret: null };
    return { configuration, keyring };
  }
  const dataKeys = await openDataKeys(storage, configuration, options);
  const entry = configuration.dataKeys.find((one) => one.isCurrent)!;
  const current = dataKeys.find((key) => Buffer.compare(key.id, entry.id) === 0);
  if (current === undefined) throw wrongKey(storage, options);
  checkConfiguration(file, current);
  return {
    configuration,
    keyring: keyringOf(configuration.repositoryId, current, dataKeys, openSecret(current, entry, configuration)),
  };
}

function openSecret(current: DataKey, entry: DataKeyEntry, configuration: Configuration): Uint8Array {
  const secret = unwrapSecret(current, configuration.repositoryId, entry.secret);
  if (secret !== null) return secret;
  throw new OperatingError("corrupt", `could not read "${CONFIGURATION_NAME}": its secret is damaged`);
}

async function readConfigurationFile(storage: Storage): Promise<ConfigurationFile> {
  try {
    return decodeConfiguration(await storage.read(CONFIGURATION_NAME));
  } catch (error) {
    if (!isOperatingError(error, "not_found")) throw error;
    throw new OperatingError("no_repository", `there is no repository in ${storage.description}`, {
      hint: 'Check the address, or make a repository there with "cairn init".',
      cause: error,
    });
  }
}

async function openDataKeys(storage: Storage, configuration: Configuration, options: OpenOptions): Promise<DataKey[]> {
  if (options.recoveryKey !== undefined) return [decodeKitKey(options.recoveryKey)];
  const { passphrase } = options;
  if (passphrase === undefined) {
    throw new OperatingError(
      "wrong_key",
      `the repository in ${storage.description} is encrypted and no passphrase was given`,
      {
        hint: "Give it in CAIRN_PASSPHRASE or with --passphrase-file.",
      },
    );
  }
  const text = typeof passphrase === "string" ? passphrase : await passphrase();
  const keys: DataKey[] = [];
  for (const slot of configuration.keySlots) {
    const key = await openPassphraseSlot(slot, configuration.repositoryId, text);
    if (key !== null) keys.push(key);
  }
  return keys;
}

function wrongKey(storage: Storage, options: OpenOptions): OperatingError {
  const what = options.recoveryKey === undefined ? "passphrase" : "recovery key";
  return new OperatingError("wrong_key", `the ${what} does not open the repository in ${storage.description}`, {
    hint: "Check it for typing mistakes, and that this is the repository you mean. The recovery kit's key opens it too, in CAIRN_RECOVERY_KEY.",
  });
}

function notEncrypted(storage: Storage): OperatingError {
  return new OperatingError(
    "wrong_key",
    `a passphrase was given, but the repository in ${storage.description} is not encrypted`,
    {
      detail: "If it was encrypted before, somebody has replaced its cairn.json.",
      hint: "If it is meant to be unencrypted, leave the passphrase out.",
    },
  );
}
