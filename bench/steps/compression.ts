// What the parameters of a chunk's frame bring: level 3 as zstd has it and as Cairn sets it (src/dump/chunk-maker.ts), on
// one thread, over COPY text of the big table cut into chunks of 2 MiB.

import { readFile, rm } from "node:fs/promises";
import { constants, zstdCompressSync } from "node:zlib";

import { makeFrame } from "../../src/dump/chunk-maker.ts";
import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import { median } from "../statistics.ts";

const CHUNK_SIZE_BYTES = 2 * 1024 * 1024;
const ROW_COUNT = 400_000;
const PARAMETERS = { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 };

export async function compression(bench: Bench): Promise<StepResult> {
  const file = bench.path("events.copy");
  await bench.server.psql("bench", "-c", `\\copy (SELECT * FROM events LIMIT ${ROW_COUNT}) TO '${file}'`);
  const text = await readFile(file);
  await rm(file);
  const ways = {
    "as zstd has it": (chunk: Uint8Array) => zstdCompressSync(chunk, { params: PARAMETERS }).length,
    "as Cairn sets it": (chunk: Uint8Array) => makeFrame({ algorithm: "zstd", level: 3 }, chunk).length,
  };
  const rates = new Map(Object.keys(ways).map((name) => [name, { speeds: [] as number[], ratio: 0 }]));
  for (let pair = 0; pair < bench.settings.pairs; pair += 1) {
    for (const [name, frameLength] of Object.entries(ways)) {
      const startedAtMs = performance.now();
      let sealedBytes = 0;
      for (let at = 0; at < text.length; at += CHUNK_SIZE_BYTES) {
        sealedBytes += frameLength(text.subarray(at, at + CHUNK_SIZE_BYTES));
      }
      const rate = rates.get(name)!;
      rate.speeds.push(text.length / 1e3 / (performance.now() - startedAtMs));
      rate.ratio = text.length / sealedBytes;
    }
  }
  const notes = [...rates].map(
    ([name, { speeds, ratio }]) =>
      `zstd level 3 ${name}, chunks of 2 MiB of "events" (${(text.length / 1e6).toFixed(0)} MB): ` +
      `${median(speeds).toFixed(0)} MB/s, ratio ${ratio.toFixed(2)}`,
  );
  return { figures: [], runs: [], notes };
}
