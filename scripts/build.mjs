// Builds dist/, what the npm package runs: src/ compiled to JavaScript (Node strips no types under node_modules), the
// ".ts" of relative imports rewritten to ".js", other files copied. Runs under any Node from 20 on, also as `prepack`.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { copyBundledPgDump } from "./copy-bundled-pg-dump.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "src");
const target = join(root, "dist");

rmSync(target, { recursive: true, force: true });
const compiler = join(root, "node_modules/typescript/bin/tsc");
const result = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
if (result.status !== 0) process.exit(result.status ?? 1);

for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name.endsWith(".ts")) continue;
  const file = join(entry.parentPath ?? entry.path, entry.name);
  const copy = join(target, relative(source, file));
  mkdirSync(dirname(copy), { recursive: true });
  cpSync(file, copy);
}
await copyBundledPgDump(join(target, "dump/bundled"));
