// The tests behind `npm run ok` (checks and unit tests) and `npm test` (those and the end-to-end tests). Everything is
// run whatever failed before it. The last line counts: "N passed, N failed", each check counting as one, then what was
// not run. Exit status 1 on any failure, and when no test was run at all.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Counts {
  passed: number;
  failed: number;
  notRun: number;
}

/** What vitest's JSON reporter writes, as far as it is used here. */
interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

const root = fileURLToPath(new URL("../", import.meta.url));
const checks: Readonly<Record<string, readonly string[]>> = {
  format: ["oxfmt", "--check"],
  lint: ["oxlint"],
  types: ["tsc", "-p", "tsconfig.json"],
  "dead code": ["knip"],
};
let current: ChildProcess | undefined;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) current?.kill(signal);
    process.exitCode = 128 + constants.signals[signal];
  });
}

await main(process.argv[2] ?? "all", process.argv.slice(3));

async function main(scope: string, vitestArguments: readonly string[]): Promise<void> {
  const counts: Counts = { passed: 0, failed: 0, notRun: 0 };
  const failedChecks: string[] = [];
  for (const [name, command] of Object.entries(checks)) {
    console.log(`== ${name}`);
    const ok = (await run(command)) === 0;
    if (!ok) failedChecks.push(name);
    counts[ok ? "passed" : "failed"] += 1;
    if (process.exitCode !== undefined) return;
  }
  console.log(scope === "ok" ? "== unit tests" : "== unit and end-to-end tests");
  if (scope !== "ok" && !process.env.CAIRN_TEST_DATA) {
    console.log("CAIRN_TEST_DATA names no folder of sample databases: tests on them are not run");
  }
  const tests = await runVitest(scope === "ok" ? ["--project", "unit", ...vitestArguments] : vitestArguments);
  if (failedChecks.length > 0) console.log(`failed checks: ${failedChecks.join(", ")}`);
  if (tests.passed === 0) console.log("no test was run");
  const notRun = tests.notRun > 0 ? `, ${tests.notRun} skipped` : "";
  console.log(`${counts.passed + tests.passed} passed, ${counts.failed + tests.failed} failed${notRun}`);
  if (counts.failed + tests.failed > 0 || tests.passed === 0) process.exitCode ??= 1;
}

async function runVitest(args: readonly string[]): Promise<Counts> {
  const folder = await mkdtemp(join(tmpdir(), "cairn-report-"));
  try {
    const file = join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    const status = await run(["vitest", "run", ...reporters, ...args]);
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text === undefined) return { passed: 0, failed: 1, notRun: 0 };
    return countTests(JSON.parse(text) as VitestReport, status);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function countTests(report: VitestReport, status: number): Counts {
  const isBroken = (file: VitestReport["testResults"][number]): boolean =>
    file.status === "failed" && file.assertionResults.length === 0;
  const failed = report.numFailedTests + report.testResults.filter(isBroken).length;
  return {
    passed: report.numPassedTests,
    // An error outside of any test fails the run too.
    failed: status !== 0 && failed === 0 ? 1 : failed,
    notRun: report.numPendingTests + report.numTodoTests,
  };
}

function run([command = "", ...args]: readonly string[]): Promise<number> {
  const program = join(root, "node_modules/.bin", command);
  const child = spawn(program, args, { cwd: root, stdio: "inherit" });
  current = child;
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve(status ?? 1));
  });
}
