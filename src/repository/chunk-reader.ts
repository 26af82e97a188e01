// Reads chunks out of packs: by range, authenticated, decoded within their raw length; verify has their ids checked too.
// Neighbours in a pack are fetched together. A delta is decoded with its base, which is fetched by its own reference.
// Memory: GROUPS_AHEAD groups of at most GROUP_BYTES_MAX (or one larger chunk); for deltas DELTA_BYTES_AT_ONCE or one pair of
// chunks that is larger, and what BaseChunks keeps.

import { timingSafeEqual } from "node:crypto";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { freeBuffer } from "../base/free-buffer.ts";
import { KIB, MIB } from "../base/units.ts";
import { chunkId } from "./chunk-id.ts";
import { BaseChunks } from "./base-chunks.ts";
import { mapAhead, RecentResults } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { packObjectName } from "./identifiers.ts";
import { isDeltaOf } from "./list-codec.ts";
import { ByteBudget } from "./listing/byte-budget.ts";
import type { ChunkReference } from "./lists.ts";
import { MovedPacks } from "./moved.ts";
import type { PackItemPlace } from "./moved.ts";
import { HEADER_BYTES, ObjectCipher, TAG_BYTES } from "./sealing.ts";
import type { Encoding } from "./sealing.ts";
import { decode } from "./sealed-object.ts";

const GROUP_BYTES_MAX = 4 * MIB;
const GROUP_GAP_BYTES_MAX = 4 * KIB;
const GROUPS_AHEAD = 3;
const PACK_CIPHERS_MAX = 1024;
const DELTAS_AHEAD = 4;
/** Plaintexts of deltas that are being decoded, and of their bases. */
const DELTA_BYTES_AT_ONCE = 64 * MIB;

/** A chunk as it was stored, authentic: one zstd frame or plain bytes. A delta comes as the plain bytes that it stands for. */
export interface UnsealedChunk {
  readonly reference: ChunkReference;
  readonly encoding: Exclude<Encoding, "zstd-delta">;
  readonly bytes: Uint8Array;
  /** Only of a delta: its own frame, which needs its base. */
  readonly delta?: Uint8Array;
}

/** A chunk as it lies in its pack, authentic. */
interface StoredChunk {
  readonly reference: ChunkReference;
  readonly bytes: Uint8Array;
}

/** Reads items of packs. Share one: it keeps the keys of the packs that it met. */
export class ChunkReader {
  readonly #context: RepositoryContext;
  readonly #ciphers = new RecentResults<string, ObjectCipher>(PACK_CIPHERS_MAX);
  readonly #moved: MovedPacks;
  readonly #bases = new BaseChunks(async (base) => await this.load(base));
  readonly #deltaBudget = new ByteBudget(DELTA_BYTES_AT_ONCE);

  constructor(context: RepositoryContext) {
    this.#context = context;
    this.#moved = new MovedPacks(context);
  }

  /** The cipher of a pack, from its header. */
  async packCipher(pack: string, signal?: AbortSignal): Promise<ObjectCipher> {
    signal?.throwIfAborted();
    // The result serves other callers too, so one caller's cancellation must not end it.
    return await this.#ciphers.get(pack, async () => {
      const name = packObjectName(pack);
      const header = await this.#context.storage.read(name, { offset: 0, lengthBytes: HEADER_BYTES });
      return new ObjectCipher(this.#context.keyring, name, header);
    });
  }

  /** A chunk, authentic. Throws OperatingError "corrupt" or "not_found". */
  async read(reference: ChunkReference, signal?: AbortSignal): Promise<UnsealedChunk> {
    return await this.#withoutBase(await this.#readStored(reference, signal));
  }

  async #readStored(reference: ChunkReference, signal: AbortSignal | undefined): Promise<StoredChunk> {
    return await namingChunk(reference, async () => {
      const { cipher, place, sealed } = await this.#readSealed(reference, reference.lengthBytes, signal);
      const chunk = unseal(cipher, reference, { sealed, itemNumber: place.itemNumber });
      if (chunk.bytes.buffer !== sealed.buffer) freeBuffer(sealed);
      return chunk;
    });
  }

  /** A list page, authentic. Throws OperatingError "corrupt" or "not_found". */
  async readPage(page: PackItemPlace, rawLengthBytes: number): Promise<Uint8Array> {
    const { cipher, place, sealed } = await this.#readSealed(page, rawLengthBytes + TAG_BYTES);
    return cipher.unseal(place.itemNumber, { kind: "page", encoding: "none", rawLengthBytes, id: null }, sealed);
  }

  /** Many chunks in their order, neighbours fetched together, a few requests ahead. */
  readMany(
    references: Iterable<ChunkReference> | AsyncIterable<ChunkReference>,
    signal?: AbortSignal,
  ): AsyncIterable<UnsealedChunk> {
    return this.#readMany(references, signal);
  }

  /** The plaintext of a chunk that was read: decoded within its raw length, its id checked. */
  async decode(chunk: UnsealedChunk): Promise<Uint8Array> {
    const { bytes, encoding, reference } = chunk;
    return await namingChunk(reference, async () => {
      const raw = await decode(packObjectName(reference.pack), { ...reference, encoding }, bytes);
      const id = chunkId(this.#context.keyring.chunkIdSecret, reference.kind, raw);
      if (timingSafeEqual(id, reference.id)) return raw;
      throw new OperatingError("corrupt", "its contents do not match its id");
    });
  }

  /**
   * The plaintext of a chunk: authentic, decoded within its raw length, its zstd checksum right. Its id is not made
   * again: that would be a second proof of the same bytes at a third of a restore's own work; verify does it.
   */
  async load(reference: ChunkReference, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.plaintextOf(await this.read(reference, signal));
  }

  /** The same of a chunk that was read, whose bytes are nobody's afterwards. */
  async plaintextOf({ bytes, encoding, reference }: UnsealedChunk): Promise<Uint8Array> {
    const name = packObjectName(reference.pack);
    const raw = await namingChunk(reference, () => decode(name, { ...reference, encoding }, bytes));
    if (raw.buffer !== bytes.buffer) freeBuffer(bytes);
    return raw;
  }

  /** Chunks that lie one right behind another in one pack, in one request. Throws when one of them cannot be read. */
  async readTogether(neighbours: readonly ChunkReference[], signal: AbortSignal): Promise<UnsealedChunk[]> {
    const chunks = await this.#readGroup(neighbours, signal);
    return await Promise.all(chunks.map(async (chunk) => await this.#withoutBase(chunk)));
  }

  /** Works with the plaintext of what a delta leans on; where one was just read, it is still at hand. */
  async withBase<T>(base: ChunkReference, work: (plaintext: Uint8Array) => T): Promise<T> {
    return await this.#bases.use(base, async (plaintext) => await Promise.resolve(work(plaintext)));
  }

  /** A delta decoded, any other chunk as it is. */
  async #withoutBase({ bytes, reference }: StoredChunk): Promise<UnsealedChunk> {
    const { base, encoding, pack, rawLengthBytes } = reference;
    if (encoding !== "zstd-delta") return { reference, encoding, bytes };
    return await namingChunk(reference, async () => {
      if (base === null || !isDeltaOf(reference, base))
        throw new OperatingError("corrupt", "its base is no full chunk");
      return await this.#deltaBudget.use(rawLengthBytes + base.rawLengthBytes, async () => {
        const raw = await this.#bases.use(base, async (plaintext) => {
          return await decode(packObjectName(pack), reference, bytes, plaintext);
        });
        return { reference, encoding: "none", bytes: raw, delta: bytes };
      });
    });
  }

  /** The sealed bytes of an item, from where it lies now. */
  async #readSealed(
    item: PackItemPlace,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<{ cipher: ObjectCipher; place: PackItemPlace; sealed: Uint8Array }> {
    return await this.#moved.following(item, async (place) => {
      const cipher = await this.packCipher(place.pack, signal);
      const range = { offset: place.offset, lengthBytes };
      return { cipher, place, sealed: await this.#context.storage.read(packObjectName(place.pack), range, signal) };
    });
  }

  async *#readMany(
    references: Iterable<ChunkReference> | AsyncIterable<ChunkReference>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<UnsealedChunk> {
    const groups = mapAhead(groupNeighbours(references), GROUPS_AHEAD, async (group) => {
      return await this.#readGroup(group, signal);
    });
    yield* mapAhead(inTurn(groups), DELTAS_AHEAD, async (chunk) => {
      signal?.throwIfAborted();
      return await this.#withoutBase(chunk);
    });
  }

  async #readGroup(group: readonly ChunkReference[], signal: AbortSignal | undefined): Promise<StoredChunk[]> {
    try {
      return await this.#readNeighbours(group, signal);
    } catch (error) {
      // The pack was repacked, perhaps: one by one, each from where it went.
      if (!isOperatingError(error, "not_found")) throw error;
      return await Promise.all(group.map(async (reference) => await this.#readStored(reference, signal)));
    }
  }

  async #readNeighbours(group: readonly ChunkReference[], signal: AbortSignal | undefined): Promise<StoredChunk[]> {
    const first = group[0]!;
    const last = group.at(-1)!;
    const range = { offset: first.offset, lengthBytes: last.offset + last.lengthBytes - first.offset };
    const sealed = await namingChunk(first, async () => {
      return await this.#context.storage.read(packObjectName(first.pack), range, signal);
    });
    const cipher = await this.packCipher(first.pack, signal);
    const chunks = await Promise.all(
      group.map(async (reference) => {
        const start = reference.offset - range.offset;
        return await namingChunk(reference, async () => {
          const part = sealed.subarray(start, start + reference.lengthBytes);
          return unseal(cipher, reference, { sealed: part, itemNumber: reference.itemNumber });
        });
      }),
    );
    if (chunks.every(({ bytes }) => bytes.buffer !== sealed.buffer)) freeBuffer(sealed);
    return chunks;
  }
}

/** `item.itemNumber`: its number in the pack that it was read from. */
function unseal(
  cipher: ObjectCipher,
  reference: ChunkReference,
  item: { readonly sealed: Uint8Array; readonly itemNumber: number },
): StoredChunk {
  const { base, encoding, id, kind, rawLengthBytes } = reference;
  const facts = { kind, encoding, id, rawLengthBytes, baseId: base?.id ?? null };
  return { reference, bytes: cipher.unseal(item.itemNumber, facts, item.sealed) };
}

async function* inTurn<T>(groups: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const group of groups) yield* group;
}

/** Says in the error which chunk it was. */
async function namingChunk<T>(reference: ChunkReference, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const id = Buffer.from(reference.id.subarray(0, 4)).toString("hex");
    const message = `could not read chunk ${id}… (item ${reference.itemNumber} of pack ${reference.pack}): ${error.message}`;
    throw new OperatingError(error.code, message, {
      hint:
        error.code === "corrupt"
          ? 'Run "cairn verify" to learn what else is damaged; the next backup stores it anew.'
          : error.hint,
      retryable: error.retryable,
      cause: error,
    });
  }
}

/** Runs of chunks that lie one after another in a pack. */
export async function* groupNeighbours(
  references: Iterable<ChunkReference> | AsyncIterable<ChunkReference>,
): AsyncGenerator<readonly ChunkReference[]> {
  let group: ChunkReference[] = [];
  for await (const reference of references) {
    if (group.length > 0 && !isNeighbour(group, reference)) {
      yield group;
      group = [];
    }
    group.push(reference);
  }
  if (group.length > 0) yield group;
}

function isNeighbour(group: readonly ChunkReference[], next: ChunkReference): boolean {
  const first = group[0]!;
  const last = group.at(-1)!;
  const gap = next.offset - last.offset - last.lengthBytes;
  const length = next.offset + next.lengthBytes - first.offset;
  return next.pack === last.pack && gap >= 0 && gap <= GROUP_GAP_BYTES_MAX && length <= GROUP_BYTES_MAX;
}
