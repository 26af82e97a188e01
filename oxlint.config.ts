// Lint rules. The table of rooms below is the architecture: which folder of src/ may import which (ARCHITECTURE.md).
// tests/architecture.test.ts plants a breach of each row and sees it caught.

import { defineConfig } from "oxlint";

const lowRooms = ["archive", "storage", "postgres", "base"];
const middleRooms = ["dump", "restore", "globals", "incremental", "physical", "repository"];

/** Room of src/ → the other rooms it may import. Every room of src/ stands here. */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  archive: ["base"],
  storage: ["base"],
  postgres: ["base"],
  repository: ["storage", "base"],
  dump: ["archive", "postgres", "base"],
  restore: ["archive", "postgres", "base"],
  globals: ["archive", "postgres", "base"],
  incremental: ["archive", "postgres", "base"],
  physical: ["archive", "postgres", "base"],
  operations: [...middleRooms, ...lowRooms],
  control: ["operations", "repository", "storage", "postgres", "base"],
  cli: ["operations", "control", ...middleRooms, ...lowRooms],
  server: ["operations", "control", ...middleRooms, ...lowRooms],
  // One file that must run alone, with nothing but Node.
  rescue: [],
};

/** No sockets, files, processes, clock or randomness in these. */
export const pureFiles = [
  "src/archive/**",
  "src/restore/{selection,plan,scheduler,server-needs}.ts",
  "src/restore/compare/{row-hash,row-sum,table-groups,compare-toc,toc-exceptions}.ts",
  "src/incremental/rules/**",
  "src/repository/retention/{policy,calendar}.ts",
];

const impureModules = [
  "fs",
  "fs/promises",
  "net",
  "tls",
  "http",
  "https",
  "http2",
  "dgram",
  "dns",
  "child_process",
  "worker_threads",
  "cluster",
  "os",
  "timers",
  "timers/promises",
  "sqlite",
  "process",
];

/** The only places that may read the environment, end the process, or print. */
export const outspokenFiles = [
  "src/cli/**",
  "src/server/**",
  "src/rescue/**",
  "tests/**",
  "bench/**",
  "scripts/**",
  "bin/**",
];

export const rescueLinesMax = 720;

type ImportPattern = { regex: string; message: string };

function forbiddenRooms(room: string, allowed: readonly string[]): ImportPattern {
  const forbidden = Object.keys(mayImport).filter((other) => other !== room && !allowed.includes(other));
  return {
    regex: `^(\\.\\./)+(src/)?(${forbidden.join("|")})(/|$)`,
    message: `src/${room} may import only: ${[...allowed, "itself"].join(", ")}.`,
  };
}

const outsideOfSource: ImportPattern = {
  regex: "^(\\.\\./)+(tests|scripts|bench|bin)/",
  message: "The product does not import tests, scripts or benchmarks.",
};

function importRule(room: string, more: readonly ImportPattern[] = []): ["error", { patterns: ImportPattern[] }] {
  return ["error", { patterns: [forbiddenRooms(room, mayImport[room] ?? []), outsideOfSource, ...more] }];
}

const impure: ImportPattern = {
  regex: `^(node:)?(${impureModules.join("|")})$`,
  message: "This file is pure: no sockets, files, processes or clock.",
};

const packages: ImportPattern = {
  regex: "^([^.n]|n[^o]|no[^d]|nod[^e]|node[^:])",
  message: "The rescue program runs with nothing but Node.",
};

const roomOverrides = Object.keys(mayImport).map((room) => ({
  files: [`src/${room}/**`],
  rules: { "no-restricted-imports": importRule(room, room === "rescue" ? [packages] : []) },
}));

const pureOverrides = pureFiles.map((files) => ({
  files: [files],
  excludeFiles: ["**/*.test.ts"],
  rules: {
    "no-restricted-imports": importRule(files.split("/")[1] ?? "", [impure]),
    "no-restricted-globals": ["error", "setTimeout", "setInterval", "fetch", "process", "performance"],
    "no-restricted-properties": [
      "error",
      { object: "Date", property: "now", message: "Pure code is handed the time." },
      { object: "Math", property: "random", message: "Pure code is handed its randomness." },
    ],
  },
}));

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import", "promise", "node", "vitest"],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: "error" },
  ignorePatterns: ["dist", "/coverage", "tests/data"],
  categories: { correctness: "error" },
  rules: {
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/await-thenable": "error",
    "typescript/only-throw-error": ["error", { allowThrowingUnknown: true }],
    "typescript/no-explicit-any": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    "typescript/no-unnecessary-type-assertion": "error",
    "import/no-cycle": "error",
    "import/no-duplicates": "error",
    "node/no-process-env": "error",
    "unicorn/no-process-exit": "error",
    "unicorn/prefer-node-protocol": "error",
    "no-console": "error",
    eqeqeq: "error",
    "no-var": "error",
    "prefer-const": "error",
    "max-lines": ["error", 500],
    "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
    "max-params": ["error", 4],
  },
  overrides: [
    ...roomOverrides,
    ...pureOverrides,
    // One file by intent: who needs it has nothing else.
    { files: ["src/rescue/*.mjs"], rules: { "max-lines": ["error", rescueLinesMax] } },
    {
      files: [...outspokenFiles],
      rules: { "no-console": "off", "node/no-process-env": "off", "unicorn/no-process-exit": "off" },
    },
    {
      files: ["**/*.test.ts"],
      // Assertions may stand in a function that a test calls.
      rules: {
        "max-lines-per-function": "off",
        "vitest/expect-expect": "off",
        // The second argument is the message of a failure.
        "vitest/valid-expect": ["error", { maxArgs: 2 }],
        "vitest/no-conditional-expect": "off",
        "typescript/unbound-method": "off",
      },
    },
  ],
});
