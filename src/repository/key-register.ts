// The keys of a repository: its slots, added and removed, and a new data key put into use. Every change is a new
// configuration (configuration-objects.ts). What a change does not do stands in docs/operating/keys.md: who has once had
// the data key has it; only what is stored after a rotation is sealed with another one.

import { createHash } from "node:crypto";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import type { Storage } from "../storage/index.ts";
import { makeAgeSlot } from "./age-slots.ts";
import { DATA_KEY_COUNT_MAX, LABEL_LENGTH_MAX, SLOT_COUNT_MAX } from "./configuration.ts";
import type { Configuration, KeySlot } from "./configuration.ts";
import { KeyChangeInDoubtError, readConfigurationFile, writeNextConfiguration } from "./configuration-objects.ts";
import type { Superseded } from "./configuration-objects.ts";
import { checkPassphrase, RESCUE_NAME, rescueProgram } from "./create.ts";
import { systemClock, systemRandom } from "./environment.ts";
import type { Clock, Random } from "./environment.ts";
import { makeId } from "./identifiers.ts";
import { mayBeInUse, nothingLeft, wouldDrop } from "./key-errors.ts";
import { KeyMemory } from "./key-memory.ts";
import { dataKeyOf, makePassphraseSlot, SCRYPT_COST_DEFAULT, wrapEarlierKey, wrapSecret } from "./keys.ts";
import type { DataKey, ScryptCost, SlotFacts } from "./keys.ts";
import { recoveryKitText } from "./recovery-kit.ts";
import type { KitKeeper } from "./recovery-kit.ts";
import { RunBeacon, RunObserver } from "./run-record.ts";
import { unlockRepository } from "./unlock.ts";
import type { OpenOptions, UnlockedByWhom } from "./unlock.ts";

/** The kind of the run that puts a new data key into use. */
export const KEY_KIND = "key";
const SLOT_ID_DIGITS = 8;

/** A key slot for people. */
export interface KeySlotFacts {
  /** 8 hex digits; another one when the data key was changed. */
  readonly id: string;
  readonly kind: "passphrase" | "age" | "unknown";
  readonly label: string | null;
  readonly recipient: string | null;
  /** ISO 8601; null where it is not known. */
  readonly createdAt: string | null;
  /** True when what was given opened it. */
  readonly isOpened: boolean;
}

/** A data key for people. */
export interface DataKeyFacts {
  /** 32 hex digits. */
  readonly id: string;
  readonly isCurrent: boolean;
}

/** What a new slot shall open with. */
export type NewSlot = ({ readonly passphrase: string } | { readonly recipient: string }) & { readonly label?: string };

/** What rotate() did. */
export interface Rotation extends Superseded {
  readonly dataKeyId: string;
  /** Secret: to be shown once, and kept away from the storage. */
  readonly recoveryKit: string;
  readonly dropped: readonly KeySlotFacts[];
}

export interface RotateOptions {
  readonly dropsOthers: boolean;
  /** Keeps the new recovery kit before its key comes into use; left out: the kit is in the result alone. */
  readonly kit?: KitKeeper;
  readonly signal?: AbortSignal;
}

export interface KeyRegisterOptions extends OpenOptions {
  /** Lower only in tests. */
  readonly scryptCost?: ScryptCost;
}

/** See openKeyRegister(). One change at a time. */
export class KeyRegister {
  readonly #storage: Storage;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #cost: ScryptCost;
  readonly #memory: KeyMemory | null;
  #unlocked: UnlockedByWhom;

  constructor(storage: Storage, unlocked: UnlockedByWhom, options: KeyRegisterOptions) {
    this.#storage = storage;
    this.#unlocked = unlocked;
    this.#random = options.random ?? systemRandom;
    this.#clock = options.clock ?? systemClock;
    this.#cost = options.scryptCost ?? SCRYPT_COST_DEFAULT;
    const { memoryFolder } = options;
    this.#memory = typeof memoryFolder === "string" ? new KeyMemory(memoryFolder, storage.description) : null;
  }

  /** 32 hex digits. */
  get repositoryId(): string {
    return Buffer.from(this.#configuration.repositoryId).toString("hex");
  }

  get slots(): readonly KeySlotFacts[] {
    const { keySlots, otherSlots = [] } = this.#configuration;
    return [...keySlots.map((slot) => this.#factsOf(slot)), ...otherSlots.map(unknownFacts)];
  }

  /** Newest first. */
  get dataKeys(): readonly DataKeyFacts[] {
    return this.#configuration.dataKeys
      .map(({ id, isCurrent }) => ({ id: Buffer.from(id).toString("hex"), isCurrent }))
      .toReversed();
  }

  /** Adds a slot. Throws OperatingError "usage", "locked". */
  async add(slot: NewSlot): Promise<Superseded & { readonly added: KeySlotFacts }> {
    const { keySlots, otherSlots = [] } = this.#configuration;
    if (keySlots.length + otherSlots.length >= SLOT_COUNT_MAX) {
      throw new OperatingError("usage", `the repository has ${SLOT_COUNT_MAX} keys already, more are not possible`);
    }
    const isThere = keySlots.some(
      (one) => "recipient" in slot && one.kind === "age" && one.recipient === slot.recipient,
    );
    if (isThere) throw new OperatingError("usage", "that recipient is among the keys of the repository already");
    const made = await this.#makeSlot(this.#current, slot);
    const superseded = await this.#write({ ...this.#configuration, keySlots: [...keySlots, made] }, this.#current);
    return { ...superseded, added: this.#factsOf(made) };
  }

  /** Removes a slot by its id. Throws OperatingError "usage" for the last one, or when there is none. */
  async remove(id: string): Promise<Superseded & { readonly removed: KeySlotFacts }> {
    const { keySlots, otherSlots = [] } = this.#configuration;
    const removed = this.slots.find((slot) => slot.id === id);
    if (removed === undefined) {
      throw new OperatingError("usage", `the repository has no key "${id}"`, { hint: 'See "cairn key list".' });
    }
    if (keySlots.every((slot) => slotId(slot) === id)) {
      throw new OperatingError(
        "usage",
        `key ${id} is the last one; without it only the recovery kit would open the repository`,
        {
          hint: 'Add the new key first: "cairn key add".',
        },
      );
    }
    const kept = keySlots.filter((slot) => slotId(slot) !== id);
    const others = otherSlots.filter((json) => unknownFacts(json).id !== id);
    const next = { ...this.#configuration, keySlots: kept, otherSlots: others };
    return { ...(await this.#write(next, this.#current)), removed };
  }

  /**
   * Puts a new data key into use. Slots of recipients, and of the passphrase that opened the repository, are made anew for
   * it; others cannot be, and with `dropsOthers` are left out. Throws OperatingError "locked" beside any other run.
   */
  async rotate(options: RotateOptions): Promise<Rotation> {
    const { keyring, openedSlots, secret } = this.#unlocked;
    const { dataKeys, keySlots } = this.#configuration;
    const isKept = (slot: KeySlot): boolean => slot.kind === "age" || openedSlots.includes(slot);
    const dropped = this.slots.filter(({ id }) => !keySlots.some((slot) => slotId(slot) === id && isKept(slot)));
    if (dropped.length > 0 && !options.dropsOthers) throw wouldDrop(dropped);
    if (!keySlots.some(isKept)) throw nothingLeft();
    if (dataKeys.length >= DATA_KEY_COUNT_MAX)
      throw new OperatingError("usage", "the repository has too many data keys");
    const place = { storage: this.#storage, keyring, random: this.#random, clock: this.#clock };
    const runId = makeId(this.#clock.now(), this.#random);
    const beacon = await RunBeacon.start(place, { runId, kind: KEY_KIND, lineageName: null });
    try {
      await refuseBesideRuns(new RunObserver(place), runId, options.signal);
      const fresh = dataKeyOf(this.#random(32));
      const made = await this.#makeSlots(fresh, keySlots.filter(isKept));
      const next = this.#withDataKey(fresh, secret!, made);
      const recoveryKit = await this.#recoveryKit(fresh, [this.#current, ...this.#earlierKeys()]);
      options.signal?.throwIfAborted();
      await options.kit?.keep(recoveryKit);
      const superseded = await this.#putIntoUse(fresh, next, { beacon, kit: options.kit });
      return { ...superseded, recoveryKit, dropped, dataKeyId: Buffer.from(fresh.id).toString("hex") };
    } finally {
      await beacon.end().catch(() => undefined);
    }
  }

  get #configuration(): Configuration {
    return this.#unlocked.configuration;
  }

  get #current(): DataKey {
    return this.#unlocked.keyring.current!;
  }

  /** Newest first. */
  #earlierKeys(): DataKey[] {
    const earlier = this.dataKeys.filter(({ isCurrent }) => !isCurrent);
    return earlier.map(({ id }) => this.#unlocked.keyring.dataKeys.get(id)!);
  }

  #factsOf(slot: KeySlot): KeySlotFacts {
    return {
      id: slotId(slot),
      kind: slot.kind === "age" ? "age" : "passphrase",
      label: slot.label ?? null,
      recipient: slot.kind === "age" ? slot.recipient : null,
      createdAt: slot.createdAt ?? null,
      isOpened: this.#unlocked.openedSlots.includes(slot),
    };
  }

  async #makeSlot(dataKey: DataKey, slot: NewSlot): Promise<KeySlot> {
    const { label = "" } = slot;
    if (label.length > LABEL_LENGTH_MAX || /\p{Cc}/u.test(label)) {
      throw new OperatingError(
        "usage",
        `a label has at most ${LABEL_LENGTH_MAX} characters, none of them a control character`,
      );
    }
    const facts = { createdAt: this.#clock.now().toISOString(), ...(label && { label }) };
    if ("recipient" in slot) return { ...(await makeAgeSlot(dataKey, slot.recipient)), ...facts };
    checkPassphrase(slot.passphrase);
    const making = { cost: this.#cost, random: this.#random };
    return {
      ...(await makePassphraseSlot(dataKey, this.#configuration.repositoryId, slot.passphrase, making)),
      ...facts,
    };
  }

  async #makeSlots(fresh: DataKey, slots: readonly KeySlot[]): Promise<KeySlot[]> {
    const made: KeySlot[] = [];
    for (const slot of slots) {
      const key = slot.kind === "age" ? { recipient: slot.recipient } : { passphrase: this.#unlocked.passphrase! };
      const { createdAt, label } = slot satisfies SlotFacts;
      made.push({ ...(await this.#makeSlot(fresh, key)), ...(label && { label }), ...(createdAt && { createdAt }) });
    }
    return made;
  }

  #withDataKey(fresh: DataKey, secret: Uint8Array, keySlots: readonly KeySlot[]): Configuration {
    const { repositoryId } = this.#configuration;
    const random = this.#random;
    const earlier = this.#configuration.dataKeys.map(({ id, secret: wrappedSecret }) => {
      const key = this.#unlocked.keyring.dataKeys.get(Buffer.from(id).toString("hex"))!;
      const wrapped = wrapEarlierKey(fresh, repositoryId, key, random);
      return { id, isCurrent: false, secret: wrappedSecret, wrapped };
    });
    const entry = { id: fresh.id, isCurrent: true, secret: wrapSecret(fresh, repositoryId, secret, random) };
    return { ...this.#configuration, dataKeys: [...earlier, entry], keySlots, otherSlots: [] };
  }

  /** The kit is discarded only where the key is surely not in use. */
  async #putIntoUse(
    fresh: DataKey,
    next: Configuration,
    { beacon, kit }: { readonly beacon: RunBeacon; readonly kit: KitKeeper | undefined },
  ): Promise<Superseded> {
    try {
      beacon.check();
      return await this.#write(next, fresh);
    } catch (error) {
      if (!(await this.#isSurelyUnused(fresh, error))) throw mayBeInUse(fresh, error);
      await kit?.discard();
      throw error;
    }
  }

  async #isSurelyUnused({ id }: DataKey, error: unknown): Promise<boolean> {
    if (error instanceof KeyChangeInDoubtError || !isOperatingError(error)) return false;
    if (error.code !== "locked") return true;
    // Another change came between: from the keys before, or already from these.
    const file = await readConfigurationFile(this.#storage).catch(() => null);
    return file?.configuration.dataKeys.every((entry) => Buffer.compare(entry.id, id) !== 0) ?? false;
  }

  async #recoveryKit(dataKey: DataKey, earlierKeys: readonly DataKey[]): Promise<string> {
    const { createdAt, repositoryId } = this.#configuration;
    const { sha256: rescueSha256 } = await rescueProgram();
    return recoveryKitText({ repositoryId, dataKey, earlierKeys, createdAt, rescueSha256 });
  }

  /** Makes it the configuration that counts; the rescue program in the storage has to know what is new. */
  async #write(next: Configuration, dataKey: DataKey): Promise<Superseded> {
    const configuration = { ...next, generation: (this.#configuration.generation ?? 0) + 1 };
    const { remaining } = await writeNextConfiguration(this.#storage, configuration, dataKey);
    const { keyring } = this.#unlocked;
    const dataKeys = new Map([...keyring.dataKeys, [Buffer.from(dataKey.id).toString("hex"), dataKey]]);
    this.#unlocked = { ...this.#unlocked, configuration, keyring: { ...keyring, current: dataKey, dataKeys } };
    await this.#memory?.remember(this.#unlocked.keyring);
    return { remaining: [...remaining, ...(await this.#renewRescueProgram())] };
  }

  async #renewRescueProgram(): Promise<Superseded["remaining"]> {
    const { bytes } = await rescueProgram();
    try {
      const found = await this.#storage.read(RESCUE_NAME).catch(() => null);
      if (found === null || Buffer.compare(found, bytes) !== 0) await this.#storage.put(RESCUE_NAME, bytes);
      return [];
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return [{ name: RESCUE_NAME, reason: `it is of an older version, and could not be replaced: ${reason}` }];
    }
  }
}

/** The keys of a repository that opens. Throws as openRepository() does, and "usage" for one without encryption. */
export async function openKeyRegister(storage: Storage, options: KeyRegisterOptions): Promise<KeyRegister> {
  const unlocked = await unlockRepository(storage, options);
  if (unlocked.secret !== null) return new KeyRegister(storage, unlocked, options);
  throw new OperatingError("usage", `the repository in ${storage.description} is not encrypted: it has no keys`);
}

function slotId(slot: KeySlot): string {
  return shortHash(slot.wrapped);
}

function shortHash(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex").slice(0, SLOT_ID_DIGITS);
}

function unknownFacts(json: unknown): KeySlotFacts {
  const id = shortHash(JSON.stringify(json));
  return { id, kind: "unknown", label: null, recipient: null, createdAt: null, isOpened: false };
}

/** A run that seals with the old key must not go on beside the change. */
async function refuseBesideRuns(
  observer: RunObserver,
  ownRunId: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const runs = await observer.runs(signal);
  const other = runs.find(({ runId, state }) => runId !== ownRunId && state !== "dead");
  if (other === undefined) return;
  const what = other.record === null ? "a run" : `a ${other.record.kind} on "${other.record.hostName}"`;
  throw new OperatingError("locked", `${what}, run ${other.runId}, is at work or may be`, {
    detail: "While the data key is changed nothing else may write.",
    hint: 'Wait for its end. One that was killed on another machine counts as dead after "cairn prune" has watched it for half an hour.',
    retryable: true,
  });
}
