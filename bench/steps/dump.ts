// `cairn dump` with its read-back, against pg_dump.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import { runPairs, wallAgainstOne, wallFigure } from "../pairs.ts";

export async function dump(bench: Bench): Promise<StepResult> {
  const file = bench.path("cairn.dump");
  const args = ["dump", bench.server.uri("bench"), "--file", file, "--overwrite", "--jobs", "2"];
  const pairs = await runPairs(
    bench.settings.pairs,
    () => bench.cairn(args),
    () => bench.peerDump(),
  );
  const gzip = await bench.gzipDump();
  await rm(file);
  return {
    figures: [
      wallFigure("cairn dump with read-back : pg_dump -Fc -Z zstd:3", pairs, 1.2),
      wallAgainstOne("cairn dump with read-back : pg_dump -Fc", pairs.ours, gzip, 0.4),
    ],
    runs: [...pairs.ours, ...pairs.theirs, gzip],
  };
}
