// For the tests of this room: small repositories in temporary folders, and a storage that fails at a chosen call.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import type { ObjectWriter, Storage } from "../storage/index.ts";
import { chunkId, createRepository } from "./index.ts";
import type {
  ChunkKind,
  ChunkReference,
  CommitInput,
  NewChunk,
  Repository,
  RestorePoint,
  RestorePointSummary,
  RetentionRules,
  Run,
  StartRunOptions,
} from "./index.ts";

export const PASSPHRASE = "correct horse battery staple";
export const CHEAP_SCRYPT = { n: 16, r: 1, p: 1 };
export const ENCRYPTION = { kind: "passphrase", passphrase: PASSPHRASE } as const;

/** Rules that keep nothing but the last good one. */
export const NO_RULES: RetentionRules = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  within: null,
  keepTags: [],
  minimum: 1,
  onlyTags: [],
  onlyLineages: null,
  timeZone: "UTC",
};

/** A temporary folder that goes away with its scope. */
export async function temporaryFolder(parent: string = tmpdir()): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(parent, "cairn-test-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

/** A new repository with cheap scrypt and small packs. */
export async function smallRepository(
  storage: Storage,
  isEncrypted = true,
): Promise<{ repository: Repository; recoveryKit: string | null }> {
  const encryption = isEncrypted ? ENCRYPTION : ({ kind: "none" } as const);
  return await createRepository(storage, { encryption, scryptCost: CHEAP_SCRYPT, packSizeBytes: 16 * 1024 });
}

/** A chunk of that text, as one zstd frame. */
export function chunkOf(secret: Uint8Array | null, text: string, kind: ChunkKind = "table"): NewChunk {
  const plain = Buffer.from(text);
  const bytes = zstdCompressSync(plain, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  return {
    kind,
    id: chunkId(secret, kind, plain),
    rawLengthBytes: plain.length,
    rowCount: kind === "table" ? text.split("\n").length - 1 : 0,
    continues: false,
    encoding: "zstd",
    bytes,
  };
}

/** The same as a delta of a chunk of that text. */
export function deltaOf(secret: Uint8Array | null, text: string, base: ChunkReference, baseText: Uint8Array): NewChunk {
  // A table large enough to find what a base of 2 MB has in common.
  const tables = {
    [constants.ZSTD_c_compressionLevel]: 1,
    [constants.ZSTD_c_windowLog]: 23,
    [constants.ZSTD_c_hashLog]: 19,
  };
  const params = { [constants.ZSTD_c_checksumFlag]: 1, ...tables };
  const bytes = zstdCompressSync(text, { params, pledgedSrcSize: Buffer.byteLength(text), dictionary: baseText });
  return { ...chunkOf(secret, text, base.kind), encoding: "zstd-delta", base, bytes };
}

export const FACTS = {
  lineage: { name: "shop@db1", systemIdentifier: "7321987654321012345", databaseOid: 16384, databaseName: "shop" },
  startedAt: "2026-11-22T10:00:00.000Z",
  snapshotAt: "2026-11-22T10:00:01.000Z",
  source: { serverVersion: "18.6", serverVersionNum: 180006, hostRole: "primary", host: "db1" },
  snapshot: { xmin: "4294967999", xmax: "4294968000", lsn: "0/1A2B3C4D", timeline: 1 },
  tool: { cairnVersion: "0.1.0", pgDumpVersion: "18.6", pgDumpPath: null },
  options: { schemaOnly: false },
  tags: { why: "test" },
  textEncoding: "utf8",
  warnings: [],
} as const;

export const TOC = Buffer.from("PGDMP canary_table_of_contents");

/** Tables by name: the texts of their segments. */
export type TableTexts = Readonly<Record<string, readonly string[]>>;

export interface BackupOptions {
  readonly tables: TableTexts;
  readonly facts?: Partial<CommitInput>;
  readonly largeObjects?: Readonly<Record<number, string>>;
  /** Segments that changed are stored as deltas of the parent's same segment. */
  readonly makesDeltas?: boolean;
  readonly run?: Pick<StartRunOptions, "takesOver" | "keptBytesMin" | "signal">;
  /** Called with the run when all chunks are stored, before it is committed. */
  readonly beforeCommit?: (run: Run) => Promise<void>;
}

/** Backs up those tables, taking over from the parent what is the same. */
export async function backUp(repository: Repository, options: BackupOptions): Promise<RestorePointSummary> {
  const facts = { ...FACTS, ...options.facts };
  const { parent } = await repository.continueLineage(facts.lineage);
  const { beforeCommit, run: runOptions } = options;
  await using run = await repository.startRun({
    kind: "backup",
    lineageName: facts.lineage.name,
    parent,
    ...runOptions,
  });
  const relations: CommitInput["relations"][number][] = [];
  for (const [index, [name, texts]] of Object.entries(options.tables).entries()) {
    const known = run.parent === null ? new Map<string, ChunkReference>() : await chunksById(run.parent, name);
    const list = run.openSegmentList();
    const bases = options.makesDeltas === true ? [...known.values()] : [];
    for (const [segment, text] of texts.entries()) {
      const chunk = await smallest(repository, run, { text, before: bases[segment] });
      const old = known.get(Buffer.from(chunk.id).toString("hex"));
      const reference = old !== undefined && run.canReuse(old) ? old : await run.storeChunk(chunk);
      await list.add({ firstBlock: segment * 8, blockCount: 8, rowCount: chunk.rowCount, chunks: [reference] });
    }
    const place = { dumpId: index + 1, oid: 20000 + index, namespace: "public", name };
    relations.push({
      ...place,
      storage: null,
      blockCount: texts.length * 8,
      segmentBlocks: 8,
      ...(await list.finish()),
    });
  }
  const largeObjects = await backUpLargeObjects(repository, run, options.largeObjects ?? {});
  await beforeCommit?.(run);
  return await run.commit({ ...facts, relations, largeObjects, toc: TOC });
}

async function smallest(
  repository: Repository,
  run: Run,
  { before, text }: { readonly text: string; readonly before: ChunkReference | undefined },
): Promise<NewChunk> {
  const base = before?.base ?? before;
  const full = chunkOf(repository.chunkIdSecret, text);
  if (base === undefined || !run.takesDeltas || !run.canReuse(base)) return full;
  const delta = deltaOf(repository.chunkIdSecret, text, base, await run.parent!.loadChunk(base));
  return delta.bytes.length < full.bytes.length / 4 ? delta : full;
}

async function backUpLargeObjects(
  repository: Repository,
  run: Run,
  objects: Readonly<Record<number, string>>,
): Promise<CommitInput["largeObjects"]> {
  const entries = Object.entries(objects).map(([oid, text]) => ({ oid: Number(oid), text }));
  if (entries.length === 0) return [];
  const list = run.openLargeObjectList();
  const small = entries.filter(({ text }) => text.length < 1000);
  if (small.length > 0) {
    const text = small.map((object) => object.text).join("");
    const chunk = await run.storeChunk(chunkOf(repository.chunkIdSecret, text, "large-objects"));
    const inside = small.map((object) => ({ oid: object.oid, lengthBytes: object.text.length }));
    await list.add({ kind: "shared", chunk, objects: inside });
  }
  for (const { oid, text } of entries.filter((object) => object.text.length >= 1000)) {
    const halves = [text.slice(0, 500), text.slice(500)];
    const chunks: ChunkReference[] = [];
    for (const half of halves) {
      chunks.push(await run.storeChunk(chunkOf(repository.chunkIdSecret, half, "large-objects")));
    }
    await list.add({ kind: "own", oid, lengthBytes: text.length, chunks });
  }
  return [{ dumpId: 900, ...(await list.finish()) }];
}

async function chunksById(parent: RestorePoint, name: string): Promise<Map<string, ChunkReference>> {
  const relation = parent.findRelation({ namespace: "public", name });
  const chunks = new Map<string, ChunkReference>();
  if (relation === null) return chunks;
  for await (const segment of parent.segments(relation)) {
    for (const chunk of segment.chunks) chunks.set(Buffer.from(chunk.id).toString("hex"), chunk);
  }
  return chunks;
}

/** The texts of a restore point's tables. */
export async function readTables(restorePoint: RestorePoint): Promise<TableTexts> {
  const tables: Record<string, string[]> = {};
  for (const relation of restorePoint.manifest.relations) {
    const texts: string[] = [];
    for await (const segment of restorePoint.segments(relation)) {
      for (const chunk of segment.chunks) texts.push(Buffer.from(await restorePoint.loadChunk(chunk)).toString());
    }
    tables[relation.name] = texts;
  }
  return tables;
}

/** A storage with some of its calls replaced. */
export function changed(storage: Storage, changes: Partial<Storage>): Storage {
  return new Proxy(storage, {
    get: (target, name) => {
      const value = Reflect.get(changes, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Writers that nobody can close any more; held, so that their files are not closed with a warning. */
const abandoned: ObjectWriter[] = [];

/**
 * A storage that dies at a call, and is dead from then on: a process killed at that point. Which call: its number (from 0), or
 * what `steps` says of it, once that returns true.
 */
export class DyingStorage implements Storage {
  readonly description = "dying";
  /** What each call was to do: "put runs/…", "after put runs/…", "finish packs/…". */
  readonly steps: string[] = [];
  readonly #storage: Storage;
  readonly #diesAt: (step: string) => boolean;
  #isDead = false;

  constructor(storage: Storage, failAt: number | ((step: string) => boolean)) {
    this.#storage = storage;
    this.#diesAt = typeof failAt === "function" ? failAt : () => this.calls > failAt;
  }

  get calls(): number {
    return this.steps.length;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  #step(step: string): void {
    this.steps.push(step);
    this.#isDead ||= this.#diesAt(step);
    if (this.#isDead) throw new Error("killed");
  }

  async openWriter(...parameters: Parameters<Storage["openWriter"]>): ReturnType<Storage["openWriter"]> {
    const [name] = parameters;
    this.#step(`openWriter ${name}`);
    const writer = await this.#storage.openWriter(...parameters);
    abandoned.push(writer);
    const step = (what: string): void => this.#step(`${what} ${name}`);
    return {
      write: async (bytes) => {
        step("write");
        await writer.write(bytes);
      },
      finish: async (expected) => {
        step("finish");
        const object = await writer.finish(expected);
        step("after finish");
        return object;
      },
      abort: async () => {
        step("abort");
        await writer.abort();
      },
      [Symbol.asyncDispose]: async () => await writer.abort(),
    };
  }

  async put(...parameters: Parameters<Storage["put"]>): ReturnType<Storage["put"]> {
    this.#step(`put ${parameters[0]}`);
    const object = await this.#storage.put(...parameters);
    this.#step(`after put ${parameters[0]}`);
    return object;
  }

  async read(...parameters: Parameters<Storage["read"]>): ReturnType<Storage["read"]> {
    this.#step(`read ${parameters[0]}`);
    return await this.#storage.read(...parameters);
  }

  async head(...parameters: Parameters<Storage["head"]>): ReturnType<Storage["head"]> {
    this.#step(`head ${parameters[0]}`);
    return await this.#storage.head(...parameters);
  }

  list(...parameters: Parameters<Storage["list"]>): ReturnType<Storage["list"]> {
    this.#step(`list ${parameters[0]}`);
    return this.#storage.list(...parameters);
  }

  async delete(...parameters: Parameters<Storage["delete"]>): ReturnType<Storage["delete"]> {
    this.#step(`delete ${parameters[0]}`);
    await this.#storage.delete(...parameters);
  }

  leftovers(...parameters: Parameters<Storage["leftovers"]>): ReturnType<Storage["leftovers"]> {
    this.#step("leftovers");
    return this.#storage.leftovers(...parameters);
  }

  async deleteLeftover(...parameters: Parameters<Storage["deleteLeftover"]>): ReturnType<Storage["deleteLeftover"]> {
    this.#step(`deleteLeftover ${parameters[0]}`);
    await this.#storage.deleteLeftover(...parameters);
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await this.#storage.freeSpaceBytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
