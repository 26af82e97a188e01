// Sample databases for tests. torture stands in tests/data; the others are read from the folder that CAIRN_TEST_DATA
// names (one folder each, zstd-compressed SQL), and tests on them are not run without it:
//
//   test.skipIf(!hasSampleData)("… pagila …", async () => { await using database = await loadDatabase(pg, "pagila"); … });

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zstdDecompressSync } from "node:zlib";

import { Client } from "pg";

import type { TestDatabase, TestServer } from "./servers.ts";

const tortureDirectory = fileURLToPath(new URL("../data/torture/", import.meta.url));
const decodedBytesMax = 256 << 20;

/** Names of the sample databases besides torture, and their files in loading order. */
const sampleFiles = {
  chinook: ["chinook.sql.zst"],
  pagila: ["pagila-schema.sql.zst", "pagila-data.sql.zst"],
  panoptes: ["structure.sql.zst"],
  usda: ["usda.sql.zst"],
} as const;

export type SampleName = keyof typeof sampleFiles;
export const SAMPLE_NAMES = Object.keys(sampleFiles) as SampleName[];

const sampleDirectory = process.env.CAIRN_TEST_DATA;

/** Whether the sample databases besides torture are at hand; a folder that is named but is not there is an error. */
export const hasSampleData = Boolean(sampleDirectory);
if (sampleDirectory && !existsSync(sampleDirectory)) {
  throw new Error(`CAIRN_TEST_DATA names "${sampleDirectory}", which is not there`);
}

/** psql variables of torture.sql, e.g. { scale: "5", many: "10000" }; they stand at its head. */
export type TortureOptions = Readonly<Record<string, string>>;

/** Makes a database and fills it; dispose of it. */
export async function loadDatabase(
  server: TestServer,
  sample: SampleName | "torture",
  options: { readonly name?: string; readonly variables?: TortureOptions } = {},
): Promise<TestDatabase> {
  const database = await server.createDatabase(options.name);
  try {
    if (sample === "torture") await loadTorture(server, database.name, options.variables ?? {});
    else await loadSample(database, sample);
    return database;
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

/** torture.sql makes and alters roles, which belong to the whole server: one load at a time. */
async function loadTorture(server: TestServer, name: string, variables: TortureOptions): Promise<void> {
  const script = await readFile(join(tortureDirectory, "torture.sql"));
  // Advisory locks are per database: this one is held in "postgres" while psql works in another.
  const holder = new Client({ connectionString: server.uri("postgres") });
  await holder.connect();
  try {
    await holder.query("SELECT pg_advisory_lock(hashtext('torture.sql'))");
    await server.psql(name, script, { variables: { ...variables } });
  } finally {
    await holder.end();
  }
}

async function loadSample(database: TestDatabase, sample: SampleName): Promise<void> {
  if (!sampleDirectory) throw new Error(`CAIRN_TEST_DATA is not set; it names the folder of "${sample}"`);
  const scripts: Buffer[] = [];
  for (const file of sampleFiles[sample]) {
    const bytes = await readFile(join(sampleDirectory, sample, file));
    scripts.push(zstdDecompressSync(bytes, { maxOutputLength: decodedBytesMax }), Buffer.from("\n"));
  }
  const script = Buffer.concat(scripts);
  await database.psql(sample === "chinook" ? withoutOwnDatabase(script) : script);
}

/** chinook's script drops, makes and enters a database of that name. Bytes are kept as they are. */
function withoutOwnDatabase(script: Buffer): Buffer {
  const text = script.toString("latin1").replaceAll(/^(DROP DATABASE|CREATE DATABASE|\\c ).*$/gm, "");
  return Buffer.from(text, "latin1");
}
