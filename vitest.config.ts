// Two projects: unit tests beside the code, and end-to-end tests on real servers. Three workers: each of them keeps a
// server and tools of PostgreSQL busy besides itself, and waits for them half of its time.

import { defineConfig } from "vitest/config";

const minuteMs = 60_000;

export default defineConfig({
  test: {
    maxWorkers: 3,
    pool: "forks",
    // As bin/cairn.mjs starts Cairn: a worker once ended by SIGSEGV, as nodejs/node#64841 would explain.
    execArgv: ["--no-maglev"],
    // The colours would end up in log files.
    reporters: ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts"],
          testTimeout: minuteMs,
          hookTimeout: minuteMs,
          isolate: false, // one worker loads the sources once for all its files: a third less work
        },
      },
      {
        extends: true,
        test: {
          name: "end-to-end",
          include: ["tests/**/*.test.ts"],
          globalSetup: ["tests/support/global-setup.ts"],
          testTimeout: 5 * minuteMs,
          hookTimeout: 10 * minuteMs, // the first one may have to fetch PostgreSQL
        },
      },
    ],
  },
});
