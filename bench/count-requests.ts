// Loaded into a process that is measured: how many HTTP requests it began, and what it took, written at its exit.

import { subscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";

/** What a process says of itself at its exit. */
export interface ProcessCounts {
  readonly requests: number;
  readonly userMs: number;
  readonly systemMs: number;
  readonly rssMaxBytes: number;
}

let requests = 0;
subscribe("http.client.request.start", () => {
  requests += 1;
});

const path = process.env["CAIRN_BENCH_COUNTS"];
if (path !== undefined) {
  process.on("exit", () => {
    const { maxRSS, systemCPUTime, userCPUTime } = process.resourceUsage();
    const counts = { requests, userMs: userCPUTime / 1000, systemMs: systemCPUTime / 1000, rssMaxBytes: maxRSS * 1024 };
    writeFileSync(path, JSON.stringify(counts satisfies ProcessCounts));
  });
}
