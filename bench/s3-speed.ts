// Measures a first backup into an S3 bucket on loopback against the same into a local folder, in turn, A B A B: speeds, and
// processor time by thread for each GiB stored. The bucket's server shares the machine's processors. By hand (the server is
// moto, too slow to say anything of time; CAIRN_BENCH_CEPH=1, as root: Ceph, in memory):
//
//   CAIRN_TEST_STORAGES=full CAIRN_BENCH_CEPH=1 node bench/s3-speed.ts [scale, 100] [pairs, 3]
//
// CAIRN_BENCH_APART=1: Cairn and the database server have processor 0 to themselves, in both runs of a pair, and the
// bucket's server has processor 1, as if it were another machine (needs taskset of util-linux).

import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { cleanEnvironment } from "../tests/support/server-user.ts";
import { s3Servers, uriAt } from "../tests/storage/s3-servers.ts";
import { folderSizeBytes } from "./bench.ts";
import { loadData } from "./data.ts";
import { measure, runPlain } from "./measure.ts";
import type { Measurement } from "./measure.ts";
import { unpackPackage } from "./package.ts";
import { runPairs } from "./pairs.ts";
import { BenchServer } from "./server.ts";
import { median, ratiosOf } from "./statistics.ts";

const GIB = 1024 ** 3;
const SCALE_DEFAULT = 100;
const PAIRS_DEFAULT = 3;
const SPEED_RATIO_MIN = 0.9;

const [scale, pairCount] = [Number(process.argv[2] ?? SCALE_DEFAULT), Number(process.argv[3] ?? PAIRS_DEFAULT)];
const isCeph = process.env["CAIRN_BENCH_CEPH"] === "1";
const isApart = process.env["CAIRN_BENCH_APART"] === "1";
const [ownProcessor, bucketProcessor] = ["0", "1"];
const kind = s3Servers().find(({ name }) => name === (isCeph ? "Ceph" : "moto"));
if (kind === undefined) throw new Error("that server is not here: see tests/storage/s3-servers.ts");
const folder = await mkdtemp(join(tmpdir(), "cairn-bench-s3-"));
try {
  await chmod(folder, 0o755); // the database server may run as another user
  await using database = await BenchServer.start(join(folder, "server"));
  const textBytes = await loadData(database, scale);
  const program = join(await unpackPackage(join(folder, "package")), "bin/cairn.mjs");
  if (isApart) await pin([process.pid], bucketProcessor); // what is started from here on inherits it
  await using storage = await kind.start();
  if (isApart) {
    await pin([database.processId], ownProcessor);
    await pin(await childrenOf(database.processId), ownProcessor);
  }
  const clean = cleanEnvironment();
  const environment = {
    ...clean,
    ...storage.keys,
    PATH: `${database.tools.binDirectory}:${dirname(process.execPath)}:${clean.PATH ?? ""}`,
    HOME: folder,
    CAIRN_PASSPHRASE: "a passphrase for the benchmark",
  };
  let count = 0;
  const backUp = async (label: string, repository: string): Promise<Measurement> => {
    count += 1;
    const kit = join(folder, `kit-${count}`);
    await runPlain(process.execPath, [program, "init", "--repo", repository, "--recovery-kit", kit], environment);
    const args = [program, "backup", database.uri("bench"), "--repo", repository, "--jobs", "2", "--json", "--quiet"];
    const pinning = isApart ? ["taskset", "-c", ownProcessor] : [];
    const [command, ...words] = [...pinning, process.execPath, ...args];
    const facts = { label, program: command!, args: words, environment, withThreads: true };
    const run = await measure({ ...facts, serverProcessId: database.processId });
    process.stderr.write(`  ${label}: ${run.wallSeconds.toFixed(2)} s\n`);
    return run;
  };
  const local = join(folder, "local");
  const { ours: toS3, theirs: toDisk } = await runPairs(
    pairCount,
    async () => await backUp("S3", uriAt(storage.endpoint, `speed-${count}`, { region: "us-east-1" })),
    async () => {
      await rm(local, { recursive: true, force: true });
      return await backUp("local", local);
    },
  );
  const storedGib = (await folderSizeBytes(local)) / GIB;
  const wallOf = (runs: readonly Measurement[]): number[] => runs.map(({ wallSeconds }) => wallSeconds);
  const speed = ratiosOf(wallOf(toDisk), wallOf(toS3));
  const [middle, lowest, highest] = [speed.median, speed.lowest, speed.highest].map((ratio) => ratio.toFixed(2));
  const stored = `${(textBytes / 1e9).toFixed(2)} GB of COPY text, ${storedGib.toFixed(2)} GiB stored`;
  const verdict = speed.median >= SPEED_RATIO_MIN ? "reached" : "MISSED";
  const place = isApart ? "on a processor of its own" : "on the same processors";
  console.log(`${kind.name} ${place}, ${stored}, ${pairCount} pairs`);
  console.log(`speed to S3 : speed to local disk: ${middle} (${lowest} to ${highest}), target ≥ ${SPEED_RATIO_MIN}: ${verdict}`); // prettier-ignore
  for (const [label, runs] of [["S3", toS3], ["local", toDisk]] as const) console.log(describe(label, runs, storedGib)); // prettier-ignore
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Lets processes run on one processor only, and what they start from then on. */
async function pin(processIds: readonly number[], processor: string): Promise<void> {
  for (const id of processIds) await runPlain("taskset", ["-a", "-p", "-c", processor, String(id)]);
}

async function childrenOf(processId: number): Promise<number[]> {
  const text = await readFile(`/proc/${processId}/task/${processId}/children`, "utf8");
  return text.split(" ").flatMap((word) => (word.trim() === "" ? [] : [Number(word)]));
}

/** Medians of wall time and memory, and of each thread's processor time for each GiB stored. */
function describe(label: string, runs: readonly Measurement[], storedGib: number): string {
  const names = [...new Set(runs.flatMap(({ threads }) => [...threads.keys()]))];
  const threads = names.map((name) => {
    const seconds = runs.map((run) => {
      const { system, user } = run.threads.get(name) ?? { user: 0, system: 0 };
      return (user + system) / storedGib;
    });
    return { name, seconds: median(seconds) };
  });
  const sorted = threads.toSorted((one, other) => other.seconds - one.seconds);
  const wall = median(runs.map(({ wallSeconds }) => wallSeconds)).toFixed(2);
  const memory = Math.round(Math.max(...runs.map(({ peakRssBytes }) => peakRssBytes)) / 1024 ** 2);
  const times = sorted.map(({ name, seconds }) => `${name} ${seconds.toFixed(2)}`).join(", ");
  return `${label}: ${wall} s, ${memory} MiB; processor s/GiB stored: ${times}`;
}
