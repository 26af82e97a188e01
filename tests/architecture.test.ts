// The rules of the house that a machine can check: the import table of the rooms (a breach of each row is planted in a
// temporary copy, and the linter must see it), sizes, names, and what tracked files may not hold.

import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { mayImport, rescueLinesMax } from "../oxlint.config.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const sourceLinesMax = 500;
const rooms = readdirSync(join(root, "src")).filter((name) => readdirSync(join(root, "src", name)).length > 0);
/** base is a box of small things, each imported by its name; operations has a door per verb; cli and rescue are programs. */
const roomsWithoutDoor = ["base", "operations", "cli", "rescue"];

interface Finding {
  readonly code: string;
  readonly filename: string;
}

/** Lints a folder of the given files under the project's own configuration: "rule file" of each finding. */
async function lint(files: Readonly<Record<string, string>>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "cairn-lint-"));
  try {
    for (const name of ["oxlint.config.ts", "tsconfig.json", "package.json"])
      await cp(join(root, name), join(folder, name));
    await symlink(join(root, "node_modules"), join(folder, "node_modules"));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const program = join(root, "node_modules/.bin/oxlint");
    const options = { cwd: folder, maxBuffer: 64 << 20 };
    const stdout = await promisify(execFile)(program, ["--format=json", "src"], options).then(
      (done) => done.stdout,
      (error: { stdout: string }) => error.stdout,
    );
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: readonly Finding[] };
    return diagnostics.map((finding) => `${finding.code} ${finding.filename}`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function trackedFiles(): Promise<string[]> {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const { stdout } = await promisify(execFile)("git", list, { cwd: root });
  return stdout.split("\0").filter((name) => name !== "" && existsSync(join(root, name)));
}

test("the linter catches each forbidden import between rooms, and allows the others", async () => {
  const files: Record<string, string> = {};
  const expected: string[] = [];
  for (const room of Object.keys(mayImport)) {
    for (const other of Object.keys(mayImport).filter((candidate) => candidate !== room)) {
      const isAllowed = mayImport[room]?.includes(other);
      for (const [file, path] of [
        [`src/${room}/to-${other}.ts`, `../${other}/index.ts`],
        [`src/${room}/deep/to-${other}.ts`, `../../${other}/index.ts`],
      ] as const) {
        files[file] = `export * from "${path}";\n`;
        if (!isAllowed) expected.push(`eslint(no-restricted-imports) ${file}`);
      }
    }
    files[`src/${room}/index.ts`] = "export const nothing = 0;\n";
  }
  const found = (await lint(files)).filter((finding) => finding.startsWith("eslint(no-restricted-imports)"));
  expect(found.toSorted()).toEqual(expected.toSorted());
});

test.each([
  ["eslint(no-restricted-imports)", "src/archive/a.ts", 'export * from "node:fs";\n'],
  ["eslint(no-restricted-imports)", "src/archive/a.ts", 'import { connect } from "node:net";\nconnect(1);\n'],
  ["eslint(no-restricted-imports)", "src/restore/selection.ts", 'export * from "node:fs/promises";\n'],
  ["eslint(no-restricted-imports)", "src/restore/plan.ts", 'export * from "node:child_process";\n'],
  ["eslint(no-restricted-imports)", "src/restore/scheduler.ts", 'export * from "node:worker_threads";\n'],
  ["eslint(no-restricted-imports)", "src/restore/plan.ts", 'export * from "../repository/index.ts";\n'],
  ["eslint(no-restricted-imports)", "src/rescue/a.ts", 'export * from "pg";\n'],
  ["eslint(no-restricted-imports)", "src/dump/a.ts", 'export * from "../../tests/support/servers.ts";\n'],
  ["eslint(no-restricted-properties)", "src/restore/plan.ts", "export const a = Date.now();\n"],
  ["eslint(no-restricted-properties)", "src/archive/a.ts", "export const a = Math.random();\n"],
  ["node(no-process-env)", "src/postgres/a.ts", "export const a = process.env.PGHOST;\n"],
  ["unicorn(no-process-exit)", "src/operations/a.ts", "process.exit(1);\n"],
  ["eslint(no-console)", "src/dump/a.ts", 'console.log("a");\n'],
  ["typescript(no-floating-promises)", "src/dump/a.ts", "async function f() {}\nf();\n"],
  ["typescript(no-misused-promises)", "src/dump/a.ts", "[1].forEach(async () => {});\n"],
])("the linter reports %s in %s", async (rule, file, text) => {
  expect(await lint({ [file]: text })).toContain(`${rule} ${file}`);
});

test("the linter reports an import cycle", async () => {
  const found = await lint({
    "src/dump/a.ts": 'import { b } from "./b.ts";\nexport const a = () => b;\n',
    "src/dump/b.ts": 'import { a } from "./a.ts";\nexport const b = () => a;\n',
  });
  expect(found.join("\n")).toContain("no-cycle");
});

test("every room of src/ stands in the import table and has its front door", () => {
  for (const room of rooms) {
    expect(Object.keys(mayImport), `src/${room} in oxlint.config.ts`).toContain(room);
    if (roomsWithoutDoor.includes(room)) continue;
    const door = join(root, "src", room, "index.ts");
    expect(existsSync(door), `src/${room}/index.ts`).toBe(true);
    const code = readFileSync(door, "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
    const others = code.replaceAll(/export\s+(type\s+)?(\*|\{[^}]*\})\s+from\s+"[^"]+";/g, "").trim();
    expect(others, `src/${room}/index.ts only re-exports`).toBe("");
  }
});

test("files are at most 500 lines, and folders have telling names", async () => {
  const vague = /(^|\/)(utils?|helpers?|commons?|libs?|services?|managers?)\//;
  for (const file of await trackedFiles()) {
    expect(file, "a folder's name says what is in it").not.toMatch(vague);
    if (![".ts", ".mjs", ".sh"].includes(extname(file)) || file.startsWith("tests/data/")) continue;
    const lines = (await readFile(join(root, file), "utf8")).split("\n").length - 1;
    const linesMax = file.startsWith("src/rescue/") ? rescueLinesMax : sourceLinesMax;
    expect(lines, `lines of ${file}`).toBeLessThanOrEqual(linesMax);
  }
});

test("every dependency stands in docs/dependencies.md with an exact version", async () => {
  const page = await readFile(join(root, "docs/dependencies.md"), "utf8");
  for (const file of ["package.json", "tests/servers/package.json"]) {
    const manifest = JSON.parse(await readFile(join(root, file), "utf8")) as Record<string, object>;
    const kinds = ["dependencies", "optionalDependencies", "devDependencies"];
    for (const [name, version] of kinds.flatMap((kind) => Object.entries(manifest[kind] ?? {}))) {
      expect(page, `docs/dependencies.md on ${name}`).toContain(`\`${name}\``);
      expect(version, `version of ${name}`).toMatch(/^(npm:@?[a-z0-9/-]+@)?\d+\.\d+\.\d+(-beta\.\d+)?$/);
    }
  }
});

test("the lock file holds every optional package of every platform, without which npm ci refuses it", async () => {
  const text = await readFile(join(root, "package-lock.json"), "utf8");
  const lock = JSON.parse(text) as { packages: Record<string, { resolved?: string; optionalDependencies?: object }> };
  const places = Object.values(lock.packages).flatMap(({ resolved }) => resolved ?? []);
  expect(places).toEqual(["tests/servers"]); // a workspace of ours; all else comes from whatever registry is asked
  const known = new Set(Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, "")));
  const wanted = Object.values(lock.packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  expect(wanted.filter((name) => !known.has(name))).toEqual([]); // cure: node scripts/complete-lock.mjs
});

test("tracked files name no registry, mirror, or place of one machine", async () => {
  // Written in parts, so that this file passes.
  const hosts = ["registry.npm" + "js.org", "registry.yarn" + "pkg.com", "npm" + "mirror.com", "deb.deb" + "ian.org"];
  const places = ["/wo" + "rk/", "/tmp/pg" + "trees", "/ho" + "me/[a-z]", "/ro" + "ot/", "/Us" + "ers/[A-Za-z]"];
  const forbidden = new RegExp(`${hosts.join("|").replaceAll(".", "\\.")}|(?<![\\w.*$}-])(${places.join("|")})`);
  const found: string[] = [];
  for (const file of await trackedFiles()) {
    const text = await readFile(join(root, file), "latin1");
    const match = forbidden.exec(text);
    if (match) found.push(`${file}: ${match[0]}`);
  }
  expect(found).toEqual([]);
});
