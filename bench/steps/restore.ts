// The whole restore point into an empty database, against pg_restore from an archive of the same data.

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import type { Measurement } from "../measure.ts";
import { runPairs, wallFigure } from "../pairs.ts";

const DATABASE = "bench_restored";

export async function restore(bench: Bench): Promise<StepResult> {
  const { repository, archive } = await bench.prepare();
  const { server } = bench;
  const intoEmpty = async (run: () => Promise<Measurement>): Promise<Measurement> => {
    await server.createDatabase(DATABASE);
    const measurement = await run();
    await server.dropDatabase(DATABASE);
    return measurement;
  };
  const uri = server.uri(DATABASE);
  const pairs = await runPairs(
    bench.settings.pairs,
    () => intoEmpty(() => bench.cairn(["restore", "latest", "--repo", repository, "--to", uri, "--jobs", "2"])),
    () => intoEmpty(() => bench.pgRestore(["-j2", "-d", uri, archive], "pg_restore -j2")),
  );
  return {
    figures: [wallFigure("restore --jobs 2 : pg_restore -j2", pairs, 0.8)],
    runs: [...pairs.ours, ...pairs.theirs],
  };
}
