// Measures `cairn list` of many restore points in an S3 bucket on loopback: without a cache, with one, and with one when a
// restore point came. The bucket is filled by a generator: encrypted, a manifest as of 40 tables each, a pack each, a mark
// of a verify for every tenth. By hand (the server is moto; CAIRN_BENCH_CEPH=1, as root: Ceph):
//
//   CAIRN_TEST_STORAGES=full node bench/listing.ts 10000

import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { mapAhead } from "../src/repository/context.ts";
import type { RepositoryContext } from "../src/repository/context.ts";
import { makeId, manifestObjectName, packObjectName } from "../src/repository/identifiers.ts";
import { createRepository } from "../src/repository/index.ts";
import { lineageKeyOf } from "../src/repository/lineages.ts";
import { encodeBody, encodeSummary } from "../src/repository/manifest.ts";
import type { ManifestBody, RestorePointSummary } from "../src/repository/manifest.ts";
import { sealObject } from "../src/repository/sealed-object.ts";
import { unlockRepository } from "../src/repository/unlock.ts";
import { openStorage } from "../src/storage/index.ts";
import type { Storage } from "../src/storage/index.ts";
import { s3Servers, uriAt } from "../tests/storage/s3-servers.ts";
import type { ProcessCounts } from "./count-requests.ts";
import { runPlain } from "./measure.ts";
import { unpackPackage } from "./package.ts";

const PASSPHRASE = "correct horse battery staple";
const PUTS_AHEAD = 16;
const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const FIRST_MS = Date.UTC(2025, 0, 1);
const LINEAGE = { name: "shop@db1", systemIdentifier: "7321987654321012345", databaseOid: 16384, databaseName: "shop" };

type Sealing = Pick<RepositoryContext, "keyring" | "random">;

function summaryOf(id: string, runId: string, at: string): RestorePointSummary {
  return {
    id,
    runId,
    parentId: null,
    lineage: LINEAGE,
    startedAt: at,
    snapshotAt: at,
    finishedAt: at,
    source: { serverVersion: "18.6 (Debian 18.6-3)", serverVersionNum: 180006, hostRole: "primary", host: "db1:5432" },
    snapshot: { xmin: "4294967999", xmax: "4294968000", lsn: "0/1A2B3C4D", timeline: 1 },
    tool: {
      cairnVersion: "0.1.0",
      pgDumpVersion: "18.6 (Debian 18.6-3)",
      pgDumpPath: "/usr/lib/postgresql/18/bin/pg_dump",
    },
    options: { selection: [], lineage: LINEAGE.name },
    tags: { schedule: "hourly" },
    textEncoding: "utf8",
    warnings: ["table public.events has no primary key"],
    totals: { relations: 40, rows: 1e6, rawBytes: 5e8, sealedBytes: 1e8, newBytes: 1e6, chunks: 250, reusedChunks: 249, reusedBytes: 1e8, largeObjects: 0 }, // prettier-ignore
  };
}

function bodyOf(packs: readonly string[]): ManifestBody {
  const sums = { rowCount: 25_000, objectCount: 0, rawBytes: 1e7, sealedBytes: 1e6, chunkCount: 6, reusedChunkCount: 6, reusedBytes: 1e6 }; // prettier-ignore
  return {
    packs: packs.map((name) => [name, 1000, randomBytes(32).toString("hex")]),
    pages: [[0, 1, 64, 65_536]],
    relations: Array.from({ length: 40 }, (_, index) => {
      const place = { dumpId: index, oid: 16_400 + index, namespace: "public", name: `table_${index}`, storage: null };
      return { ...place, ...sums, blockCount: 1000, segmentBlocks: 512, list: [[0, index * 100, 100]], packs: [0] };
    }),
    largeObjects: [],
    incremental: null,
  };
}

/** Each restore point needs its own pack and those of the 20 before it. */
async function* addRestorePoints(
  storage: Storage,
  sealing: Sealing,
  range: readonly [number, number],
): AsyncGenerator<void> {
  const key = lineageKeyOf(sealing.keyring, LINEAGE);
  const packs: string[] = [];
  const numbers = Array.from({ length: range[1] - range[0] }, (_, index) => range[0] + index);
  yield* mapAhead(numbers, PUTS_AHEAD, async (number) => {
    const time = new Date(FIRST_MS + number * HOUR_MS);
    const [id, runId] = [makeId(time, sealing.random), makeId(time, sealing.random)];
    packs.push(`${runId}-0`);
    const name = manifestObjectName(key, id);
    const items = [
      { kind: "summary", encoding: "none", bytes: encodeSummary(summaryOf(id, runId, time.toISOString())) },
      { kind: "body", encoding: "zstd", bytes: encodeBody(bodyOf(packs.slice(-20))) },
      { kind: "toc", encoding: "zstd", bytes: randomBytes(12_000) },
    ] as const;
    await storage.put(packObjectName(`${runId}-0`), Buffer.alloc(1000));
    await storage.put(name, await sealObject(sealing, name, items, true));
    if (number % 10 !== 0) return;
    const mark = { restorePointId: id, at: time.toISOString(), chunkCount: 250, rawBytes: 5e8, damage: [] };
    const markName = `marks/${id}/verify-${makeId(time, sealing.random)}`;
    const bytes = Buffer.from(JSON.stringify(mark));
    await storage.put(markName, await sealObject(sealing, markName, [{ kind: "mark", encoding: "zstd", bytes }]));
  });
}

interface Place {
  readonly folder: string;
  readonly program: string;
  readonly uri: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** In JavaScript: what is measured must not pay for Node's reading of TypeScript. */
async function writeCounter(file: string): Promise<void> {
  const source = fileURLToPath(new URL("count-requests.ts", import.meta.url));
  await writeFile(file, stripTypeScriptTypes(await readFile(source, "utf8")));
}

async function measureList(title: string, { environment, folder, program, uri }: Place): Promise<void> {
  const counts = join(folder, "counts.json");
  const counter = join(folder, "count-requests.mjs");
  const env = { ...environment, CAIRN_BENCH_COUNTS: counts, NODE_OPTIONS: `--import=${counter}` };
  const beginMs = performance.now();
  const output = await runPlain(process.execPath, [program, "list", "--repo", uri, "--quiet"], env);
  const seconds = (performance.now() - beginMs) / 1000;
  const { requests, rssMaxBytes, systemMs, userMs } = JSON.parse(await readFile(counts, "utf8")) as ProcessCounts;
  const cpu = ((userMs + systemMs) / 1000).toFixed(2);
  const lines = output.split("\n").length;
  console.log(`${title}: ${seconds.toFixed(2)} s (processor ${cpu} s), ${requests} requests, ${Math.round(rssMaxBytes / MIB)} MiB, ${lines} lines`); // prettier-ignore
}

const count = Number(process.argv[2] ?? "10000");
const isCeph = process.env["CAIRN_BENCH_CEPH"] === "1";
const kind = s3Servers().find(({ name }) => name === (isCeph ? "Ceph" : "moto"));
if (kind === undefined) throw new Error("that server is not here: see tests/storage/s3-servers.ts");
const folder = await mkdtemp(join(tmpdir(), "cairn-bench-listing-"));
try {
  const program = join(await unpackPackage(join(folder, "package")), "bin/cairn.mjs");
  await using server = await kind.start();
  const uri = uriAt(server.endpoint, "listing", { region: "us-east-1" });
  const storage = await openStorage(uri, { environment: server.keys });
  await createRepository(storage, { encryption: { kind: "passphrase", passphrase: PASSPHRASE } });
  const { keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
  const sealing: Sealing = { keyring, random: randomBytes };
  const beginMs = performance.now();
  for await (const _ of addRestorePoints(storage, sealing, [0, count]));
  console.log(`${kind.name}, ${count} restore points, made in ${Math.round((performance.now() - beginMs) / 1000)} s`);
  const environment = {
    ...server.keys,
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    XDG_CACHE_HOME: join(folder, "cache"),
    CAIRN_PASSPHRASE: PASSPHRASE,
  };
  await writeCounter(join(folder, "count-requests.mjs"));
  const place: Place = { folder, program, uri, environment };
  await measureList("cold", place);
  for (let index = 0; index < 5; index += 1) await measureList("warm", place);
  for await (const _ of addRestorePoints(storage, sealing, [count, count + 1]));
  await measureList("one more", place);
  await rm(join(folder, "cache"), { recursive: true });
  await measureList("cold", place);
} finally {
  await rm(folder, { recursive: true, force: true });
}
