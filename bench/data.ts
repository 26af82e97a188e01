// The data that is measured on: bench/generate.sql loaded into the database "bench", unless it is there already.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import type { BenchServer } from "./server.ts";

const generator = fileURLToPath(new URL("generate.sql", import.meta.url));
const TABLES = ["words", "events", "orders", "documents", "ratings"];

/** Loads the data unless it is there; gives the size of its COPY text. Another scale or generator replaces it. */
export async function loadData(server: BenchServer, scale: number): Promise<number> {
  const digest = createHash("sha256")
    .update(await readFile(generator))
    .digest("hex");
  const version = `scale ${scale} of generator ${digest}`;
  const comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'bench'";
  if ((await server.psql("postgres", "-c", comment)) === version) {
    process.stderr.write(`using the data that is there (scale ${scale})\n`);
  } else {
    process.stderr.write(`generating the data at scale ${scale} (about two seconds for each)\n`);
    await server.createDatabase("bench");
    await server.psql("bench", "-v", `scale=${scale}`, "-f", generator);
    await server.psql("postgres", "-c", `COMMENT ON DATABASE bench IS '${version}'`, "-c", "CHECKPOINT");
  }
  return await readAll(server);
}

/** Reads all of it once, so that the first run measured finds it in memory as the others do; gives its size in bytes. */
async function readAll(server: BenchServer): Promise<number> {
  const sizes = await server.psql("bench", ...TABLES.flatMap((table) => ["-c", `\\copy ${table} TO PROGRAM 'wc -c'`]));
  return sizes.split("\n").reduce((sum, size) => sum + Number(size), 0);
}
