// Writes the packs of one run: seals items one after another into the current pack, which streams to the storage while
// it fills; when it is full, its end is written and made durable while the next one fills.
// Limits: at most FINISHING_PACKS_MAX packs wait for their durability; the storage's writer bounds the bytes in flight.

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { ObjectWriter, Storage } from "../storage/index.ts";
import type { Random } from "./environment.ts";
import { packObjectName } from "./identifiers.ts";
import type { Keyring } from "./keys.ts";
import { ITEM_COUNT_MAX, makeHeader } from "./sealing.ts";
import type { ItemFacts } from "./sealing.ts";
import { SealedObjectBuilder } from "./sealed-object.ts";
import type { ItemPlace } from "./sealed-object.ts";

const FINISHING_PACKS_MAX = 2;

/** A pack that is durable. */
export interface FinishedPack {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Where an item was put. */
export interface PackPlace extends ItemPlace {
  readonly pack: string;
}

export interface PackStreamSettings {
  readonly storage: Storage;
  readonly keyring: Keyring;
  readonly random: Random;
  readonly runId: string;
  readonly packSizeBytes: number;
  readonly signal: AbortSignal | undefined;
  /** Called with the number of durable packs that have no gap before them. */
  readonly onDurable?: (packCount: number) => void;
}

interface OpenPack {
  readonly name: string;
  readonly builder: SealedObjectBuilder;
  readonly writer: ObjectWriter;
  readonly hash: Hash;
}

/** See the head of this file. After a failure every call throws it again. */
export class PackStream {
  readonly #settings: PackStreamSettings;
  readonly #finished: FinishedPack[] = [];
  readonly #finishing = new Set<Promise<void>>();
  #current: OpenPack | null = null;
  #packCount = 0;
  #durableCount = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;

  constructor(settings: PackStreamSettings) {
    this.#settings = settings;
  }

  /** Seals and appends an item; calls are served in their order. Resolves when the storage wants more. */
  async append(facts: ItemFacts, bytes: Uint8Array): Promise<PackPlace> {
    return await this.#inTurn(async () => {
      if (this.#current !== null && this.#isFull(this.#current, bytes.length)) await this.#sealCurrent();
      this.#current ??= await this.#open();
      const { name, builder } = this.#current;
      const { place, parts } = builder.add(facts, bytes);
      for (const part of parts) await this.#write(this.#current, part);
      return { pack: name, ...place };
    });
  }

  /** Makes all packs durable and returns them in the order of their numbers. */
  async finish(): Promise<readonly FinishedPack[]> {
    await this.#inTurn(async () => {
      if (this.#current !== null) await this.#sealCurrent();
      while (this.#finishing.size > 0) await Promise.all(this.#finishing);
    });
    this.#check();
    assert(this.#finished.length === this.#packCount, "every pack is finished");
    return this.#finished;
  }

  /** Drops what is not durable yet; returns the packs that are, for the caller to remove. */
  async abort(): Promise<readonly FinishedPack[]> {
    this.#failure ??= { error: new Error("the run was given up") };
    await this.#turn.catch(() => undefined);
    await Promise.all(this.#finishing);
    const current = this.#current;
    this.#current = null;
    await current?.writer.abort().catch(() => undefined);
    // Packs become durable out of order, so the list may have holes.
    return this.#finished.filter((pack) => pack !== undefined);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const mine = (async () => {
      await before;
      this.#check();
      try {
        return await work();
      } catch (error) {
        this.#failure ??= { error };
        throw error;
      }
    })();
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }

  #check(): void {
    this.#settings.signal?.throwIfAborted();
    if (this.#failure !== null) throw this.#failure.error;
  }

  #isFull(pack: OpenPack, nextBytes: number): boolean {
    const { builder } = pack;
    const isOverSize = builder.sizeBytes + nextBytes > this.#settings.packSizeBytes;
    return (isOverSize && builder.itemCount > 0) || builder.itemCount >= ITEM_COUNT_MAX - 1;
  }

  async #open(): Promise<OpenPack> {
    const { keyring, random, runId, signal, storage } = this.#settings;
    const name = `${runId}-${this.#packCount}`;
    const objectName = packObjectName(name);
    const writer = await storage.openWriter(objectName, { ifAbsent: true, ...(signal && { signal }) });
    this.#packCount += 1;
    const header = makeHeader(keyring, random);
    const pack = {
      name,
      writer,
      hash: createHash("sha256"),
      builder: new SealedObjectBuilder(keyring, objectName, header),
    };
    await this.#write(pack, header);
    return pack;
  }

  async #write(pack: OpenPack, bytes: Uint8Array): Promise<void> {
    pack.hash.update(bytes);
    await pack.writer.write(bytes);
  }

  async #sealCurrent(): Promise<void> {
    const pack = this.#current;
    assert(pack !== null, "a pack is open");
    const ending = pack.builder.finish();
    for (const part of ending) await this.#write(pack, part);
    this.#current = null;
    const sizeBytes = ending.reduce((sum, part) => sum + part.length, pack.builder.sizeBytes);
    const finishing = this.#makeDurable(pack, sizeBytes).finally(() => this.#finishing.delete(finishing));
    this.#finishing.add(finishing);
    while (this.#finishing.size > FINISHING_PACKS_MAX) await Promise.race(this.#finishing);
  }

  /** Never rejects: a failure is kept for the next call. */
  async #makeDurable(pack: OpenPack, sizeBytes: number): Promise<void> {
    try {
      const sha256 = pack.hash.digest();
      await pack.writer.finish({ sizeBytes, sha256 });
      const number = Number(pack.name.slice(pack.name.lastIndexOf("-") + 1));
      this.#finished[number] = { name: pack.name, sizeBytes, sha256: sha256.toString("hex") };
      while (this.#finished[this.#durableCount] !== undefined) this.#durableCount += 1;
      this.#settings.onDurable?.(this.#durableCount);
    } catch (error) {
      this.#failure ??= { error };
      await pack.writer.abort().catch(() => undefined);
    }
  }
}
