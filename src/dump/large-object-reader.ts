// Reads large objects through a reader's session by FunctionCall messages of lo_get(oid, bigint, integer), whose result
// comes in binary: one round trip for a small object; larger ones come piece by piece.
// Source: PostgreSQL manual, "Message Formats", FunctionCall; pg_proc.dat, lo_get.

import { MIB } from "../base/units.ts";
import { encodeFunctionCall } from "../postgres/index.ts";
import { KnownIds, makeChunk } from "./chunk-maker.ts";
import type { LargeObjectChunk } from "./data-sink.ts";
import type { ChunkOptions, LargeObjectTask } from "./reader-messages.ts";
import type { ReaderSession } from "./reader-session.ts";

const FUNCTION_LO_GET_RANGE = 3459;
const PIECE_SIZE_BYTES = 2 * MIB;

/** The objects of a task in order; those that fit share a chunk where the options want it. */
export async function* readLargeObjects(
  session: ReaderSession,
  task: LargeObjectTask,
  options: ChunkOptions,
): AsyncIterable<LargeObjectChunk> {
  const known = new KnownIds(task.knownIds);
  const shared = new SharedChunk(options, known);
  for (const oid of task.oids) {
    const first = await readPiece(session, oid, 0);
    if (first.length < PIECE_SIZE_BYTES && options.sharesLargeObjectChunks) {
      if (!shared.fits(first)) yield* shared.take();
      shared.add(oid, first);
      continue;
    }
    yield* shared.take();
    yield* readPieces(session, { oid, first, options, known });
  }
  yield* shared.take();
}

async function* readPieces(
  session: ReaderSession,
  object: { oid: number; first: Uint8Array; options: ChunkOptions; known: KnownIds },
): AsyncIterable<LargeObjectChunk> {
  let text = object.first;
  let offset = 0;
  while (true) {
    const continues = text.length === PIECE_SIZE_BYTES;
    const source = { kind: "large-objects", text, rowCount: 0, continues } as const;
    yield {
      members: [{ oid: object.oid, lengthBytes: text.length }],
      chunk: makeChunk(source, object.options, object.known),
    };
    if (!continues) return;
    offset += text.length;
    text = await readPiece(session, object.oid, offset);
  }
}

/** Small objects on their way into one chunk. */
class SharedChunk {
  readonly #options: ChunkOptions;
  readonly #known: KnownIds;
  #texts: Uint8Array[] = [];
  #members: { oid: number; lengthBytes: number }[] = [];
  #lengthBytes = 0;

  constructor(options: ChunkOptions, known: KnownIds) {
    this.#options = options;
    this.#known = known;
  }

  fits(text: Uint8Array): boolean {
    return this.#lengthBytes + text.length <= PIECE_SIZE_BYTES;
  }

  add(oid: number, text: Uint8Array): void {
    this.#texts.push(text);
    this.#members.push({ oid, lengthBytes: text.length });
    this.#lengthBytes += text.length;
  }

  *take(): Iterable<LargeObjectChunk> {
    if (this.#members.length === 0) return;
    const text = Buffer.concat(this.#texts);
    const source = { kind: "large-objects", text, rowCount: 0, continues: false } as const;
    yield { members: this.#members, chunk: makeChunk(source, this.#options, this.#known) };
    this.#texts = [];
    this.#members = [];
    this.#lengthBytes = 0;
  }
}

async function readPiece(session: ReaderSession, oid: number, offset: number): Promise<Uint8Array> {
  return (await session.call(callLoGet(oid, offset))) ?? new Uint8Array(0);
}

function callLoGet(oid: number, offset: number): Uint8Array {
  const position = Buffer.alloc(8);
  position.writeBigInt64BE(BigInt(offset));
  return encodeFunctionCall(FUNCTION_LO_GET_RANGE, [int32(oid), position, int32(PIECE_SIZE_BYTES)]);
}

function int32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
