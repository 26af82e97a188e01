// Unlocks a repository: from its configuration and a passphrase, an age identity, or a recovery kit to its keyring.
// Source: docs/formats/repository.md §3. Nothing of the configuration is believed before its authentication was checked
// under the current data key, and what came out of a slot has the id that the slot says. What opens is not thereby this
// repository's: anybody can make a slot for an age recipient, so only the current data key and what it wraps are its keys.

import { OperatingError } from "../base/errors.ts";
import type { Storage } from "../storage/index.ts";
import { openAgeSlot } from "./age-slots.ts";
import type { AgeSlot } from "./age-slots.ts";
import { readConfigurationFile } from "./configuration-objects.ts";
import { checkConfiguration } from "./configuration.ts";
import type { Configuration, DataKeyEntry, KeySlot } from "./configuration.ts";
import type { Clock, Random } from "./environment.ts";
import { CONFIGURATION_NAME } from "./identifiers.ts";
import { KeyMemory } from "./key-memory.ts";
import { derivedSecrets, openPassphraseSlot, unwrapEarlierKey, unwrapSecret } from "./keys.ts";
import type { DataKey, Keyring, PassphraseSlot } from "./keys.ts";
import { decodeKitKeys } from "./recovery-kit.ts";

export interface OpenOptions {
  /** A text was given and is used; a function is asked when it is needed. */
  readonly passphrase?: string | (() => Promise<string>);
  /** Identities of age (AGE-SECRET-KEY-1…), tried before the passphrase; a function is asked when it is needed. */
  readonly identities?: readonly string[] | (() => Promise<readonly string[]>);
  /** The key from a recovery kit, instead of all others. */
  readonly recoveryKey?: string;
  /** Where the data keys of repositories that were opened before are remembered; null or left out: nowhere. */
  readonly memoryFolder?: string | null;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** An unlocked repository's settings. */
export interface Unlocked {
  readonly keyring: Keyring;
  readonly configuration: Configuration;
}

/** The same with what a change of its keys needs. Secret. */
export interface UnlockedByWhom extends Unlocked {
  /** The repository secret; null without encryption. */
  readonly secret: Uint8Array | null;
  /** The slots that were opened; none with a recovery kit. */
  readonly openedSlots: readonly KeySlot[];
  /** The passphrase that opened the passphrase slots among them. */
  readonly passphrase: string | null;
}

/** What came out of slots or of a kit. */
interface OpenedKeys {
  readonly dataKeys: readonly DataKey[];
  readonly openedSlots: readonly KeySlot[];
  readonly passphrase: string | null;
}

/** A keyring; `earlier` are data keys that the current one wraps, `secret` is the repository secret. */
export function keyringOf(
  repositoryId: Uint8Array,
  current: DataKey,
  earlier: readonly DataKey[],
  secret: Uint8Array,
): Keyring {
  const dataKeys = new Map([current, ...earlier].map((key) => [Buffer.from(key.id).toString("hex"), key]));
  return { repositoryId, current, dataKeys, ...derivedSecrets(secret) };
}

/** Reads and unlocks a repository. Throws OperatingError "no_repository", "wrong_key", "corrupt". */
export async function unlockRepository(storage: Storage, options: OpenOptions): Promise<UnlockedByWhom> {
  const unlocked = await unlock(storage, options);
  const { memoryFolder } = options;
  if (typeof memoryFolder === "string") await new KeyMemory(memoryFolder, storage.description).check(unlocked.keyring);
  return unlocked;
}

async function unlock(storage: Storage, options: OpenOptions): Promise<UnlockedByWhom> {
  const file = await readConfigurationFile(storage);
  const { configuration } = file;
  const { repositoryId } = configuration;
  if (configuration.encryption === "none") {
    refuseKeys(storage, options);
    checkConfiguration(file, null);
    const keyring = { repositoryId, current: null, dataKeys: new Map(), chunkIdSecret: null, lineageSecret: null };
    return { configuration, keyring, secret: null, openedSlots: [], passphrase: null };
  }
  const opened = await openKeys(storage, configuration, options);
  const entry = configuration.dataKeys.find((one) => one.isCurrent)!;
  const current = opened.dataKeys.find((key) => Buffer.compare(key.id, entry.id) === 0);
  if (current === undefined) throw wrongKey(storage, options, isEarlierKit(configuration, opened, options));
  checkConfiguration(file, current);
  const secret = unwrapSecret(current, repositoryId, entry.secret);
  if (secret === null) throw damagedKeys("its secret is damaged");
  const keyring = keyringOf(repositoryId, current, earlierKeys(configuration, current), secret);
  const { openedSlots, passphrase } = opened;
  return { configuration, keyring, secret, openedSlots, passphrase };
}

/** The earlier data keys, newest first. */
function earlierKeys({ dataKeys, repositoryId }: Configuration, current: DataKey): DataKey[] {
  const earlier = dataKeys.filter((entry) => !entry.isCurrent).toReversed();
  return earlier.map(({ id, wrapped }: DataKeyEntry) => {
    const key = wrapped === undefined ? null : unwrapEarlierKey(current, repositoryId, { id, wrapped });
    return key ?? damagedEntry(id);
  });
}

function damagedEntry(id: Uint8Array): never {
  throw damagedKeys(`its earlier data key ${Buffer.from(id).toString("hex")} is damaged`);
}

function damagedKeys(reason: string): OperatingError {
  return new OperatingError("corrupt", `could not read "${CONFIGURATION_NAME}": ${reason}`);
}

async function openKeys(storage: Storage, configuration: Configuration, options: OpenOptions): Promise<OpenedKeys> {
  if (options.recoveryKey !== undefined) {
    return { dataKeys: decodeKitKeys(options.recoveryKey), openedSlots: [], passphrase: null };
  }
  const { keySlots } = configuration;
  const byAge = await openAgeSlots(keySlots, options);
  const { passphrase } = options;
  const isAsked = typeof passphrase === "function";
  // Nobody is asked for a passphrase when an identity was given, or when none would open anything.
  const isNeeded =
    passphrase !== undefined && !(isAsked && (options.identities !== undefined || !hasPassphrase(keySlots)));
  if (!isNeeded) {
    if (options.identities === undefined) throw noKeyGiven(storage, keySlots);
    return { ...byAge, passphrase: null };
  }
  const text = isAsked ? await passphrase() : passphrase;
  const byPassphrase = await openPassphraseSlots(configuration, text);
  return {
    dataKeys: [...byAge.dataKeys, ...byPassphrase.dataKeys],
    openedSlots: [...byAge.openedSlots, ...byPassphrase.openedSlots],
    passphrase: text,
  };
}

function hasPassphrase(slots: readonly KeySlot[]): boolean {
  return slots.some(({ kind }) => kind === "scrypt");
}

type OpenedSlots = Pick<OpenedKeys, "dataKeys" | "openedSlots">;

async function openAgeSlots(slots: readonly KeySlot[], options: OpenOptions): Promise<OpenedSlots> {
  const { identities } = options;
  const own = slots.filter((slot): slot is AgeSlot => slot.kind === "age");
  if (identities === undefined || own.length === 0) return { dataKeys: [], openedSlots: [] };
  const texts = typeof identities === "function" ? await identities() : identities;
  return await openAll(own, async (slot) => await openAgeSlot(slot, texts));
}

async function openPassphraseSlots({ keySlots, repositoryId }: Configuration, text: string): Promise<OpenedSlots> {
  const own = keySlots.filter((slot): slot is PassphraseSlot => slot.kind === "scrypt");
  return await openAll(own, async (slot) => await openPassphraseSlot(slot, repositoryId, text));
}

/** One after another: each may take 1 GiB. */
async function openAll<T extends KeySlot>(
  slots: readonly T[],
  open: (slot: T) => Promise<DataKey | null>,
): Promise<OpenedSlots> {
  const dataKeys: DataKey[] = [];
  const openedSlots: KeySlot[] = [];
  for (const slot of slots) {
    const key = await open(slot);
    if (key === null) continue;
    dataKeys.push(key);
    openedSlots.push(slot);
  }
  return { dataKeys, openedSlots };
}

function noKeyGiven(storage: Storage, slots: readonly KeySlot[]): OperatingError {
  const where = `the repository in ${storage.description} is encrypted`;
  if (hasPassphrase(slots)) {
    return new OperatingError("wrong_key", `${where} and no passphrase was given`, {
      hint: "Give it in CAIRN_PASSPHRASE or with --passphrase-file.",
    });
  }
  return new OperatingError("wrong_key", `${where} and no age identity was given`, {
    detail: "It has no passphrase: only age identities and the recovery kit open it.",
    hint: "Name the identity file with --identity or in CAIRN_IDENTITY_FILE.",
  });
}

/** True for a kit from before the data key was changed. */
function isEarlierKit({ dataKeys }: Configuration, opened: OpenedKeys, options: OpenOptions): boolean {
  if (options.recoveryKey === undefined) return false;
  return dataKeys.some(({ id }) => opened.dataKeys.some((key) => Buffer.compare(key.id, id) === 0));
}

function wrongKey(storage: Storage, options: OpenOptions, isEarlier: boolean): OperatingError {
  if (isEarlier) {
    return new OperatingError(
      "wrong_key",
      `the recovery key is one from before the data key of the repository in ${storage.description} was changed`,
      { hint: 'Use the recovery kit that "cairn key rotate" wrote.' },
    );
  }
  const isByIdentity = options.identities !== undefined && typeof options.passphrase !== "string";
  const what = options.recoveryKey !== undefined ? "recovery key" : isByIdentity ? "age identity" : "passphrase";
  return new OperatingError("wrong_key", `the ${what} does not open the repository in ${storage.description}`, {
    hint: "Check it for typing mistakes, and that this is the repository you mean. The recovery kit's key opens it too, in CAIRN_RECOVERY_KEY.",
  });
}

function refuseKeys(storage: Storage, options: OpenOptions): void {
  const isGiven = typeof options.passphrase === "string" || options.identities !== undefined;
  if (!isGiven && options.recoveryKey === undefined) return;
  const what = typeof options.passphrase === "string" ? "a passphrase" : "a key";
  throw new OperatingError(
    "wrong_key",
    `${what} was given, but the repository in ${storage.description} is not encrypted`,
    {
      detail: "If it was encrypted before, somebody has replaced its cairn.json.",
      hint: "If it is meant to be unencrypted, leave the key out.",
    },
  );
}
