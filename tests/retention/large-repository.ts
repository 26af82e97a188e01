// Builds a repository of many tiny chunks, of which an expired restore point leaves a tenth unneeded in every pack, and
// prunes it; each step in a process of its own, to see what memory it needs. By hand:
//
//   node tests/retention/large-repository.ts 1000000

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { createRepository, openRepository } from "../../src/repository/index.ts";
import type { ChunkReference, NewChunk, Repository, RestorePoint, Run } from "../../src/repository/index.ts";
import { FACTS, TOC } from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";

const SEGMENT_CHUNKS = 8;
const DAY_MS = 86_400_000;
const SAMPLE_INTERVAL_MS = 100;
const MIB = 1024 * 1024;

/** What a step said of itself. */
export interface StepFigures {
  readonly rssMaxBytes: number;
  /** What was in use after collecting garbage, the most of all samples. */
  readonly liveMaxBytes: number;
  readonly durationMs: number;
  /** Chunks held, packs listed, packs repacked, as the step has it. */
  readonly count: number;
}

/** Figures of all steps. */
export type LargeFigures = Readonly<Record<"open" | "build" | "expire" | "list" | "repack" | "check", StepFigures>>;

/** A chunk that no other is like. */
function chunkOf(number: number): NewChunk {
  const bytes = Buffer.from(`${number}\t${"x".repeat(40)}\n`);
  const id = createHash("sha256").update(bytes).digest();
  return { kind: "table", id, rawLengthBytes: bytes.length, rowCount: 1, continues: false, encoding: "none", bytes };
}

async function commit(run: Run, list: ReturnType<Run["openSegmentList"]>, day: number): Promise<void> {
  const place = { dumpId: 1, oid: 1, namespace: "public", name: "t", storage: null, blockCount: 1, segmentBlocks: 1 };
  const snapshotAt = new Date(Date.UTC(2026, 10, day)).toISOString();
  const relations = [{ ...place, ...(await list.finish()) }];
  await run.commit({ ...FACTS, snapshotAt, relations, largeObjects: [], toc: TOC });
}

async function buildFirst(repository: Repository, count: number): Promise<void> {
  const run = await repository.startRun({ kind: "backup" });
  const list = run.openSegmentList();
  for (let first = 0; first < count; first += SEGMENT_CHUNKS) {
    const numbers = Array.from({ length: SEGMENT_CHUNKS }, (_, index) => first + index);
    const chunks = await Promise.all(numbers.map((number) => run.storeChunk(chunkOf(number))));
    await list.add({ firstBlock: first, blockCount: SEGMENT_CHUNKS, rowCount: SEGMENT_CHUNKS, chunks });
  }
  await commit(run, list, 1);
}

/** A tenth of the chunks is new. */
async function buildSecond(repository: Repository, parent: RestorePoint): Promise<void> {
  const run = await repository.startRun({ kind: "backup", parent });
  const list = run.openSegmentList();
  let number = 0;
  for await (const segment of run.parent!.segments(parent.manifest.relations[0]!)) {
    const chunks: ChunkReference[] = [];
    for (const chunk of segment.chunks) {
      chunks.push(number % 10 === 0 ? await run.storeChunk(chunkOf(-number - 1)) : chunk);
      number += 1;
    }
    await list.add({ ...segment, chunks });
  }
  await commit(run, list, 2);
}

const steps: Readonly<Record<string, (path: string, count: number) => Promise<number>>> = {
  build: async (path, count) => {
    const settings = { encryption: { kind: "none" }, packSizeBytes: 16 * 1024 } as const;
    const { repository } = await createRepository(openLocalStorage(path), settings);
    await buildFirst(repository, count);
    const [newest] = await repository.restorePoints();
    await buildSecond(repository, await repository.openRestorePoint(newest!.id));
    return count;
  },
  open: async (path) => (await (await openRepository(openLocalStorage(path))).restorePoints()).length,
  expire: async (path) => {
    const none = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: null };
    const only = { keepTags: [], onlyTags: [], onlyLineages: null };
    const rules = { ...none, ...only, last: 1, minimum: 1, timeZone: "UTC" };
    const repository = await openRepository(openLocalStorage(path));
    return (await repository.expire({ rules, isDryRun: false })).length;
  },
  list: async (path) => await prune(path, 0),
  repack: async (path) => await prune(path, DAY_MS),
  check: async (path) => {
    const { chunkCount, findings } = await (await openRepository(openLocalStorage(path))).check({ readFraction: 0 });
    if (findings.length > 0) throw new Error(`check found ${JSON.stringify(findings[0])}`);
    return chunkCount;
  },
};

async function prune(path: string, laterMs: number): Promise<number> {
  const clock = { now: () => new Date(Date.now() + laterMs), monotonicMs: () => performance.now() };
  const repository = await openRepository(openLocalStorage(path), { clock });
  const options = { graceMs: DAY_MS, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
  return (await repository.prune(options)).decisions.filter(({ failure }) => failure === null).length;
}

/** Does all steps, each in its own process. */
export async function measureLargeRepository(chunkCount: number): Promise<LargeFigures> {
  const folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "cairn-large-"));
  try {
    const figures: Record<string, StepFigures> = {};
    for (const step of ["build", "open", "expire", "list", "repack", "check"]) {
      const words = ["--expose-gc", fileURLToPath(import.meta.url), step, join(folder, "r"), String(chunkCount)];
      const { stdout } = await promisify(execFile)(process.execPath, words);
      figures[step] = JSON.parse(stdout) as StepFigures;
    }
    return figures as unknown as LargeFigures;
  } finally {
    await rm(folder, { recursive: true });
  }
}

if (import.meta.filename === process.argv[1]) {
  const [, , first = "", path = "", count = ""] = process.argv;
  const step = steps[first];
  if (step === undefined) {
    for (const [name, figures] of Object.entries(await measureLargeRepository(Number(first)))) {
      const { count: done, durationMs, liveMaxBytes, rssMaxBytes } = figures;
      const [live, rss] = [liveMaxBytes, rssMaxBytes].map((bytes) => Math.round(bytes / MIB));
      console.log(`${name.padEnd(8)} ${(durationMs / 1000).toFixed(1)} s, ${rss} MiB, in use ${live} MiB, ${done}`);
    }
  } else {
    const beginMs = performance.now();
    let liveMaxBytes = 0;
    const sampler = setInterval(() => {
      globalThis.gc?.();
      const { arrayBuffers, heapUsed } = process.memoryUsage();
      liveMaxBytes = Math.max(liveMaxBytes, heapUsed + arrayBuffers);
    }, SAMPLE_INTERVAL_MS);
    const done = await step(path, Number(count));
    clearInterval(sampler);
    const durationMs = performance.now() - beginMs;
    const rssMaxBytes = process.resourceUsage().maxRSS * 1024;
    console.log(JSON.stringify({ rssMaxBytes, liveMaxBytes, durationMs, count: done } satisfies StepFigures));
  }
}
