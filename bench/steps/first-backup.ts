// The first backup, encrypted, against pg_dump.

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import { runPairs, wallAgainstOne, wallFigure } from "../pairs.ts";

export async function firstBackup(bench: Bench): Promise<StepResult> {
  const pairs = await runPairs(
    bench.settings.pairs,
    () => bench.firstBackup(),
    () => bench.peerDump(),
  );
  const gzip = await bench.gzipDump();
  return {
    figures: [
      wallFigure("first backup : pg_dump -Fc -Z zstd:3", pairs, 1),
      wallAgainstOne("first backup : pg_dump -Fc", pairs.ours, gzip, 0.4),
    ],
    runs: [...pairs.ours, ...pairs.theirs, gzip],
  };
}
